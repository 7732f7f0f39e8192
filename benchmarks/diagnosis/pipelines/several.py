"""Several loaders of which one is bad, several ranks, several faults at once."""

from __future__ import annotations

from benchmarks.diagnosis.program import SLEEP, Pipeline

_OTHER = """
class Other(Items):
    pass
"""

_SLOW = SLEEP.format(seconds=0.005) + _OTHER
_FAULT = ("fetch-io", "too-few-workers")
_FINE = {"Other": ("healthy",)}

_RANKS = """
import torch.distributed

RANK = int(os.environ["RANK"])

class Data(Items):
    def __getitem__(self, index):
        self.read(index)
        return super().__getitem__(index)

    def read(self, index):
        time.sleep(0.006)

class Other(Items):
    pass

def run(loader):
    torch.distributed.init_process_group("gloo")
    loss = torch.ones(1)
    for batch in loader:
        time.sleep(0.01)
        torch.distributed.all_reduce(loss)
    torch.distributed.destroy_process_group()
"""

PIPELINES = (
    Pipeline(
        "train-bad-validation-good", _FAULT, _SLOW, "read", 80, {"num_workers": 1},
        loop="train(loader, 1, 0.005)\ntrain(DataLoader(Other(), 8, num_workers=1), 1, 0.03)", others=_FINE,
    ),
    Pipeline(
        "train-good-validation-bad", _FAULT, _SLOW, "read", 60, {"num_workers": 1},
        loop="train(DataLoader(Other(), 8, num_workers=1), 1, 0.04)\ntrain(loader, 1, 0.005)", others=_FINE,
    ),
    Pipeline(
        # A check of some batches in between: slow, and hardly any of the run.
        "small-validation", ("healthy",), _SLOW, "", 120, {"num_workers": 1},
        loop="""
        train(DataLoader(Other(), 8, num_workers=1), 1, 0.04)
        for step, batch in enumerate(loader):
            if step == 3:
                break
        """, others=_FINE,
    ),
    Pipeline(
        "loader-within-a-loop", _FAULT, _SLOW, "read", 10, {"num_workers": 1, "persistent_workers": True},
        loop="""
        for step, batch in enumerate(DataLoader(Other(), 8, num_workers=1)):
            time.sleep(0.01)
            train(loader, 1, 0.005)
        """, others=_FINE,
    ),
    Pipeline(
        "two-at-once", _FAULT, _SLOW, "read", 60, {"num_workers": 1},
        loop="""
        for batch, other in zip(loader, DataLoader(Other(), 8, num_workers=1)):
            time.sleep(0.01)
        """, others=_FINE,
    ),
    Pipeline(
        "one-slow-rank", _FAULT, _RANKS, "read", 60, {"num_workers": 1}, ranks=2,
        dataset="Data() if RANK == 1 else Other()", loop="run(loader)", others=_FINE,
    ),
    Pipeline(
        "slow-fetch-and-collate", ("collate",), """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.005)
                return super().__getitem__(index)

        def gather(items):
            time.sleep(0.06)
            return torch.stack(items)
        """, "gather", 60, {"num_workers": 2}, ", collate_fn=gather", also=("fetch-io",),
    ),
    Pipeline(
        "decoded-and-pickled", ("transfer",), """
        class Data(Items):
            def __getitem__(self, index):
                burn(0.0005)
                return np.zeros((250, 1000))

        def keep(items):
            return items
        """, "", 80, {"num_workers": 2}, ", collate_fn=keep", step_s=0.002,
    ),
    Pipeline(
        "restarted-and-slow", ("fetch-io", "startup", "too-few-workers"), """
        def prepare(worker):
            time.sleep(0.25)

        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.005)
                return super().__getitem__(index)
        """, "__getitem__", 24, {"num_workers": 2}, ", worker_init_fn=prepare", also=("startup", "fetch-io"),
        cure={"persistent_workers": True}, epochs=5, step_s=0.002,
    ),
    Pipeline(
        "slow-fetch-behind-slow-step", ("healthy",), SLEEP.format(seconds=0.006), "", 60, {"num_workers": 2},
        step_s=0.06, busy_step=True,
    ),
)  # fmt: skip
