"""Workers are started, or find their bearings, again and again."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

_PREPARED = """
def prepare(worker):
    time.sleep({seconds})

class Data(Items):
    pass
"""

_ANEW = """
for epoch in range(6):
    train(DataLoader(Data(), 8, num_workers=2, worker_init_fn=prepare), 1, 0.01)
"""

_LAZY = """
class Data(Items):
    index = None

    def __getitem__(self, index):
        if self.index is None:
            self.open()
        return super().__getitem__(index)

    def open(self):
        {work}
        self.index = True
"""

PIPELINES = (
    Pipeline(
        "restarted-workers", ("startup",), _PREPARED.format(seconds=0.4), "", 12, {"num_workers": 2},
        ", worker_init_fn=prepare", {"persistent_workers": True}, epochs=6,
    ),
    Pipeline(
        "spawned-every-epoch", ("startup",), "class Data(Items):\n    pass", "", 60,
        {"num_workers": 2, "multiprocessing_context": "spawn"}, cure={"persistent_workers": True}, epochs=4,
        step_s=0.02,
    ),
    Pipeline(
        "dataset-sent-to-workers", ("startup",), """
        class Data(Items):
            def __init__(self):
                self.samples = [{"id": k, "text": f"sample {k}", "box": [k, k, k + 1, k + 1]} for k in range(300_000)]
        """, "", 60, {"num_workers": 2, "multiprocessing_context": "forkserver"},
        cure={"persistent_workers": True}, epochs=4, step_s=0.02,
    ),
    Pipeline(
        # Each worker opens its file at its first item, and is new in every epoch.
        "opened-late", ("startup", "fetch-io"), _LAZY.format(work="time.sleep(0.5)"), "open", 30,
        {"num_workers": 2}, cure={"persistent_workers": True}, epochs=6,
    ),
    Pipeline(
        "index-built-late", ("startup", "fetch-cpu"), _LAZY.format(work="burn(0.4)"), "burn", 30,
        {"num_workers": 2}, cure={"persistent_workers": True}, epochs=6,
    ),
    Pipeline(
        "loader-made-per-epoch", ("startup",), _PREPARED.format(seconds=0.4), "", 12, {"num_workers": 2},
        ", worker_init_fn=prepare, persistent_workers=True", loop=_ANEW, cured_loop="train(loader, 6, 0.01)",
    ),
    Pipeline(
        "first-of-a-new-iterator", ("startup",), """
        class Data(Items):
            pass
        """, "", 80, {"num_workers": 2},
        loop="""
        for step in range(40):
            batch = next(iter(loader))
            time.sleep(0.02)
        """,
        cured_loop="""
        batches = iter(loader)
        for step in range(40):
            batch = next(batches)
            time.sleep(0.02)
        """,
    ),
    Pipeline(
        "left-early", ("startup",), _PREPARED.format(seconds=0.15), "", 200, {"num_workers": 3},
        ", worker_init_fn=prepare",
        loop="""
        for epoch in range(8):
            for step, batch in enumerate(loader):
                time.sleep(0.02)
                if step == 9:
                    break
        """,
    ),
    Pipeline(
        "long-start-once", ("startup", "healthy"), _PREPARED.format(seconds=2.5), "", 120, {"num_workers": 2},
        ", worker_init_fn=prepare", step_s=0.02,
    ),
)  # fmt: skip
