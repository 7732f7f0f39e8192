"""Batches wait for slower ones, for their indices, or for a training process that is busy."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

_STRAGGLER = """
class Data(Items):
    def __getitem__(self, index):
        self.load(index)
        return super().__getitem__(index)

    def load(self, index):
        time.sleep(0.5 if index % 96 == 40 else 0.0015)
"""

_WEIGHTED = """
WEIGHTS = torch.ones(1_500_000)

class Sampler:
    def __len__(self):
        return 30

    def __iter__(self):
        {draw}
        for batch in range(30):
            yield [index % 200 for index in order[batch * 8 : batch * 8 + 8]]

class Data(Items):
    pass
"""

_GIL = """
class Data(Items):
    pass

def collect():
    while not DONE.is_set():
        {work}

DONE = threading.Event()

def run(loader):
    thread = threading.Thread(target=collect)
    thread.start()
    train(loader, 1, 0.004)
    DONE.set()
    thread.join()
"""

PIPELINES = (
    Pipeline(
        "straggler", ("straggler",), _STRAGGLER, "load", 96, {"num_workers": 2},
        cure={"in_order": False}, step_s=0.02,
    ),
    Pipeline(
        "one-in-fifty", ("straggler",), """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.002)
                if index % 50 == 30:
                    self.repair(index)
                return super().__getitem__(index)

            def repair(self, index):
                time.sleep(0.3)
        """, "repair", 140, {"num_workers": 4}, cure={"in_order": False}, step_s=0.03,
    ),
    Pipeline(
        "long-items-decode", ("straggler",), """
        class Data(Items):
            def __getitem__(self, index):
                self.decode(700_000 if index % 160 == 77 else 800)
                return super().__getitem__(index)

            def decode(self, work):
                for _ in range(work):
                    math_work = sum(range(40))
        """, "decode", 160, {"num_workers": 3}, cure={"in_order": False}, step_s=0.025,
    ),
    Pipeline(
        "slow-sampler", ("dispatch",), """
        class Sampler:
            def __len__(self):
                return 80

            def __iter__(self):
                for batch in range(80):
                    time.sleep(0.03)
                    yield list(range(batch * 8, batch * 8 + 8))

        class Data(Items):
            pass
        """, "__iter__", 80, {"num_workers": 2}, ", batch_sampler=Sampler()",
    ),
    Pipeline(
        "bucketing-sampler", ("dispatch",), """
        class Buckets:
            def __len__(self):
                return 80

            def __iter__(self):
                for batch in range(80):
                    yield self.nearest(batch)

            def nearest(self, batch):
                lengths = sorted(((k * 7919) % 10_007, k) for k in range(40_000))
                return [k % 600 for _, k in lengths[batch : batch + 8]]

        class Data(Items):
            pass
        """, "nearest", 80, {"num_workers": 2}, ", batch_sampler=Buckets()",
    ),
    Pipeline(
        "list-per-epoch", ("dispatch",), _WEIGHTED.format(draw="order = torch.multinomial(WEIGHTS, 1_500_000, True).tolist()"),
        "__iter__", 30, {"num_workers": 2, "persistent_workers": True}, ", batch_sampler=Sampler()",
        cured_definitions=_WEIGHTED.format(draw="order = torch.randint(1_500_000, (240,)).tolist()"),
        epochs=8, step_s=0.01,
    ),
    Pipeline(
        "busy-beside-the-loop", ("main-gil",), _GIL.format(work="sum(range(1000))"), "", 300, {"num_workers": 2},
        cured_definitions=_GIL.format(work="time.sleep(0.01)"), loop="run(loader)",
    ),
    Pipeline(
        "read-by-two-threads", ("shared-across-threads",), """
        class Data(Items):
            pass

        def run(loader):
            threads = [threading.Thread(target=train, args=(loader, 1, 0.02)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        """, "", 80, {"num_workers": 1}, loop="run(loader)",
    ),
)  # fmt: skip
