"""Iterable datasets, whose workers must divide the data among themselves."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

PIPELINES = (
    Pipeline(
        "uneven-shards", ("imbalance", "fetch-io"), """
        class Data(IterableDataset):
            def __iter__(self):
                worker = get_worker_info().id
                for number in range(80 if worker else 560):
                    time.sleep(0.001)
                    yield torch.full((16,), float(number))
        """, "__iter__", 80, {"num_workers": 2}, also=("imbalance", "fetch-io", "too-few-workers"),
        step_s=0.002,
    ),
    Pipeline(
        "fewer-shards-than-workers", ("imbalance",), """
        SHARDS = [range(0, 400), range(400, 800)]

        class Data(IterableDataset):
            def __iter__(self):
                worker = get_worker_info()
                for shard in SHARDS[worker.id :: worker.num_workers]:
                    for number in shard:
                        self.read(number)
                        yield torch.full((16,), float(number))

            def read(self, number):
                time.sleep(0.004)
        """, "read", 100, {"num_workers": 4}, step_s=0.002,
    ),
    Pipeline(
        "everything-twice", ("duplicates",), """
        class Data(IterableDataset):
            def __iter__(self):
                for number in range(400):
                    yield torch.full((16,), float(number))
        """, "", 50, {"num_workers": 2}, step_s=0.02,
    ),
    Pipeline(
        "everything-twice-from-afar", ("duplicates",), """
        def numbers(count):
            for number in range(count):
                time.sleep(0.001)
                yield torch.full((16,), float(number))

        class Data(IterableDataset):
            def __init__(self, source):
                self.source = source

            def __iter__(self):
                yield from self.source(400)
        """, "", 50, {"num_workers": 2}, dataset="Data(numbers)", step_s=0.02,
    ),
    Pipeline(
        "one-seed-for-all", ("duplicates",), """
        class Data(IterableDataset):
            def __iter__(self):
                generator = torch.Generator().manual_seed(7)
                for _ in range(400):
                    yield torch.randn(16, generator=generator)
        """, "", 50, {"num_workers": 2}, step_s=0.02,
    ),
    Pipeline(
        "dealt-out", ("healthy",), """
        class Data(IterableDataset):
            def __iter__(self):
                worker = get_worker_info()
                for number in range(worker.id, 960, worker.num_workers):
                    yield torch.full((16,), float(number))
        """, "", 120, {"num_workers": 2}, step_s=0.02,
    ),
    Pipeline(
        "slow-stream", ("fetch-io", "too-few-workers"), """
        class Data(IterableDataset):
            def __iter__(self):
                worker = get_worker_info()
                for number in range(worker.id, 480, worker.num_workers):
                    yield self.next_record(number)

            def next_record(self, number):
                time.sleep(0.006)
                return torch.full((16,), float(number))
        """, "next_record", 60, {"num_workers": 2}, cure={"num_workers": 4},
    ),
)  # fmt: skip
