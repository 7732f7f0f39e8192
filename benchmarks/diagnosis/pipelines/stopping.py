"""Runs that die, or stand still."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

# Somebody ends a run that stands still.
_PATIENCE = (
    "signal.signal(signal.SIGALRM, lambda *_: sys.exit(7))\nsignal.alarm({seconds})\ntrain(loader, 1, 0.01)"
)

PIPELINES = (
    Pipeline(
        "killed-worker", ("worker-killed",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "worker-that-exits", ("worker-killed",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    os._exit(3)
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "worker-that-crashes", ("worker-killed",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    ctypes.string_at(0)
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "raising-dataset", ("dataset-error",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    raise ValueError("broken sample")
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "items-that-do-not-stack", ("dataset-error",), """
        class Data(Items):
            def __getitem__(self, index):
                return torch.zeros(17 if index == 203 else 16)
        """, "", 60, {"num_workers": 2}, exit_code=1,
    ),
    Pipeline(
        "error-inline", ("dataset-error",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 200:
                    raise KeyError("no such label")
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 0}, exit_code=1,
    ),
    Pipeline(
        "lock-held-at-fork", ("hang",), """
        LOCK = threading.Lock()

        def hold():
            with LOCK:
                time.sleep(3)

        threading.Thread(target=hold, daemon=True).start()
        time.sleep(0.1)

        class Data(Items):
            def __getitem__(self, index):
                self.tokenize(index)
                return super().__getitem__(index)

            def tokenize(self, index):
                with LOCK:
                    return index
        """, "", 60, {"num_workers": 2}, loop=_PATIENCE.format(seconds=16), exit_code=7,
    ),
    Pipeline(
        "item-that-never-comes", ("hang",), """
        class Data(Items):
            def __getitem__(self, index):
                if index == 100:
                    threading.Event().wait()
                return super().__getitem__(index)
        """, "", 60, {"num_workers": 2, "timeout": 4}, exit_code=1,
    ),
    Pipeline(
        "batch-that-cannot-be-pickled", ("hang",), """
        def keep(items):
            return items

        class Data(Items):
            def __getitem__(self, index):
                return (lambda: index) if index == 100 else index
        """, "", 60, {"num_workers": 2}, ", collate_fn=keep", loop=_PATIENCE.format(seconds=8), exit_code=7,
    ),
    Pipeline(
        "shared-memory-of-a-container", ("shared-memory-full",), """
        class Data(Items):
            def __getitem__(self, index):
                return torch.zeros(1_000_000)
        """, "", 60, {"num_workers": 2}, loop=_PATIENCE.format(seconds=10), shm_mb=48, exit_code=None,
    ),
)  # fmt: skip
