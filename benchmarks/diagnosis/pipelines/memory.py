"""The memory of workers: what grows, and what only looks as if it did."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

PIPELINES = (
    Pipeline(
        "list-of-strings", ("memory-growth",), """
        class Data(Items):
            def __init__(self):
                self.names = [f"image-{number:012d}.jpg" for number in range(1_500_000)]

            def __getitem__(self, index):
                for k in range(index * 700, index * 700 + 700):
                    name = self.names[k % len(self.names)]
                return torch.full((16,), float(len(name)))
        """, "", 260, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "dicts-of-annotations", ("memory-growth",), """
        class Data(Items):
            def __init__(self):
                self.boxes = {k: {"box": (k, k + 1, k + 2, k + 3), "label": k % 80} for k in range(500_000)}

            def __getitem__(self, index):
                for k in range(index * 230, index * 230 + 230):
                    box = self.boxes[k % 500_000]["box"]
                return torch.tensor(box)
        """, "", 260, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "cache-without-limit", ("memory-growth",), """
        class Data(Items):
            def __init__(self):
                self.cache = {}

            def __getitem__(self, index):
                if index not in self.cache:
                    self.cache[index] = np.ones(40_000)
                return torch.full((16,), self.cache[index][0])
        """, "", 260, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "mapped-file", ("healthy",), """
        class Data(Items):
            def __init__(self):
                path = tempfile.mkdtemp() + "/rows.bin"
                with open(path, "wb") as file:
                    for _ in range(40):
                        file.write(os.urandom(10 << 20))
                self.rows = np.memmap(path, dtype=np.uint8, mode="r").reshape(2048, -1)

            def __getitem__(self, index):
                return torch.tensor(float(self.rows[index % 2048].sum()))
        """, "", 250, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "cache-with-limit", ("healthy",), """
        class Data(Items):
            def __init__(self):
                self.cache = {}

            def __getitem__(self, index):
                if index not in self.cache:
                    if len(self.cache) >= 120:
                        self.cache.pop(next(iter(self.cache)))
                    self.cache[index] = np.ones(60_000)
                return torch.full((16,), self.cache[index][0])
        """, "", 260, {"num_workers": 2}, step_s=0.025,
    ),
    Pipeline(
        "array-of-names", ("healthy",), """
        class Data(Items):
            def __init__(self):
                self.names = np.array([f"image-{number:012d}.jpg" for number in range(1_000_000)], dtype="S")

            def __getitem__(self, index):
                for k in range(index * 400, index * 400 + 400):
                    name = self.names[k % len(self.names)]
                return torch.full((16,), float(len(name)))
        """, "", 220, {"num_workers": 2}, step_s=0.025,
    ),
)  # fmt: skip
