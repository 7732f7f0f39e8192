"""Nothing is wrong with the loader, whatever it looks like."""

from __future__ import annotations

from benchmarks.diagnosis.program import BURN, SLEEP, Pipeline

PIPELINES = (
    Pipeline("healthy", ("healthy",), SLEEP.format(seconds=0.0005), "", 150, {"num_workers": 2}, step_s=0.02),
    Pipeline(
        "slow-busy-step", ("healthy",), SLEEP.format(seconds=0.001), "", 60, {"num_workers": 1},
        step_s=0.06, busy_step=True,
    ),
    Pipeline(
        "slow-first-batch", ("healthy",), """
        class Data(Items):
            def __getitem__(self, index):
                if index < 2:
                    time.sleep(0.6)
                return super().__getitem__(index)
        """, "", 150, {"num_workers": 2}, step_s=0.02,
    ),
    Pipeline(
        # A good deal of work, all of it behind a step that takes longer.
        "hidden-decoding", ("healthy",), BURN.format(seconds=0.002), "", 80, {"num_workers": 1}, step_s=0.05,
    ),
    Pipeline(
        "hidden-jitter", ("healthy",), """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(random.Random(index).expovariate(500))
                return super().__getitem__(index)
        """, "", 120, {"num_workers": 3}, step_s=0.03,
    ),
    Pipeline(
        # One sample in 400 takes 75 times as long: eight batches ahead outlast it.
        "rare-slow-sample", ("healthy",), """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.15 if index % 400 == 200 else 0.002)
                return super().__getitem__(index)
        """, "", 150, {"num_workers": 4}, step_s=0.03,
    ),
    Pipeline("inline-and-quick", ("healthy",), "class Data(Items):\n    pass", "", 60, {"num_workers": 0}, step_s=0.04),
    Pipeline(
        "logging-loop", ("healthy",), """
        class Data(Items):
            pass

        def run(loader):
            log = open(os.devnull, "w")
            for number, batch in enumerate(loader):
                for line in range(3000):
                    log.write(json.dumps({"step": number, "line": line, "loss": float(batch[0, 0])}) + "\\n")
                log.flush()
        """, "", 120, {"num_workers": 2}, loop="run(loader)",
    ),
    Pipeline(
        # As .item() on a GPU: a little work, then the loop's thread waits until all of it is done.
        "waiting-for-item", ("healthy",), """
        class Data(Items):
            pass

        def run(loader):
            weight = torch.ones(16, 64)
            for batch in loader:
                loss = (batch @ weight).sum()
                time.sleep(0.025)
                loss.item()
        """, "", 120, {"num_workers": 1}, loop="run(loader)",
    ),
    Pipeline("three-batches", ("healthy", "unknown"), SLEEP.format(seconds=0.002), "", 3, {"num_workers": 2}, step_s=0.1),
    Pipeline("no-batches", ("unknown", "healthy"), "class Data(Items):\n    pass", "", 0, {"num_workers": 2}),
    Pipeline(
        "epochs-that-persist", ("healthy",), SLEEP.format(seconds=0.0005), "", 25,
        {"num_workers": 2, "persistent_workers": True}, epochs=8, step_s=0.02,
    ),
    Pipeline(
        "spawned-and-healthy", ("healthy", "startup"), SLEEP.format(seconds=0.0005), "", 300,
        {"num_workers": 2, "multiprocessing_context": "spawn"}, step_s=0.02,
    ),
    Pipeline(
        # What would be a straggler, were it not cured already.
        "out-of-order", ("healthy",), """
        class Data(Items):
            def __getitem__(self, index):
                time.sleep(0.25 if index % 100 == 40 else 0.0015)
                return super().__getitem__(index)
        """, "", 150, {"num_workers": 4, "in_order": False}, step_s=0.03,
    ),
    Pipeline(
        "stacked-images", ("healthy",), """
        class Data(Items):
            def __init__(self):
                self.images = torch.zeros(64, 3, 96, 96, dtype=torch.uint8)

            def __getitem__(self, index):
                return self.images[index % 64].float() / 255
        """, "", 100, {"num_workers": 1}, batch_size=16, step_s=0.04,
    ),
)  # fmt: skip
