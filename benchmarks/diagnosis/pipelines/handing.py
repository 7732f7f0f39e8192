"""Batches are slow to be put together, or to get from the worker to the loop."""

from __future__ import annotations

from benchmarks.diagnosis.program import Pipeline

_COLLATE = """
def slow_collate(items):
    time.sleep({seconds})
    return torch.stack(items)

class Data(Items):
    pass
"""

_LOOPS = """
class Data(Items):
    def __getitem__(self, index):
        return np.full(2000 + index % 500, index, dtype=np.int64)

{pad}
"""

_LOOPS_PAD = """
def pad(items):
    longest = max(len(item) for item in items)
    rows = []
    for item in items:
        row = [0] * longest
        for position, value in enumerate(item):
            row[position] = int(value)
        rows.append(row)
    return torch.tensor(rows)
"""

_ARRAY_PAD = """
def pad(items):
    rows = np.zeros((len(items), max(len(item) for item in items)), dtype=np.int64)
    for row, item in zip(rows, items):
        row[: len(item)] = item
    return torch.from_numpy(rows)
"""

_MANY = """
class Data(Items):
    def __getitem__(self, index):
        return {{f"feature{{k}}": torch.full((4,), float(index)) for k in range(40)}}

def collate(items):
    {body}
"""

_LISTS = """
class Data(Items):
    def __init__(self):
        self.tokens = [np.arange(20_000) + number for number in range(64)]

    def __getitem__(self, index):
        return {item}

def keep(items):
    return {batch}
"""

PIPELINES = (
    Pipeline(
        "collate-sleeps", ("collate",), _COLLATE.format(seconds=0.06), "slow_collate", 80,
        {"num_workers": 2}, raw_arguments=", collate_fn=slow_collate",
        cured_definitions=_COLLATE.format(seconds=0.006), cure_times=10,
    ),
    Pipeline(
        "collate-loops", ("collate",), _LOOPS.format(pad=_LOOPS_PAD), "pad", 80, {"num_workers": 2},
        ", collate_fn=pad", cured_definitions=_LOOPS.format(pad=_ARRAY_PAD), batch_size=64,
    ),
    Pipeline(
        "pad-sequences", ("collate",), """
        class Data(Items):
            def __init__(self):
                self.features = [torch.ones(400 + 37 * k % 900, 128) for k in range(40)]

            def __getitem__(self, index):
                return self.features[index % 40]

        def pad(items):
            padded = torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
            normal = (padded - padded.mean(1, keepdim=True)) / (padded.std(1, keepdim=True) + 1e-6)
            return normal.mean(2)
        """, "pad", 60, {"num_workers": 1}, ", collate_fn=pad", {"num_workers": 2}, batch_size=32,
    ),
    Pipeline(
        "tokens-in-collate", ("collate",), """
        WORD = re.compile(r"[a-z]+|[0-9]+|[^a-z0-9 ]")

        class Data(Items):
            def __getitem__(self, index):
                return f"the {index} quick brown foxes, jump over {index * 7} lazy dogs! " * 500

        class Tokenize:
            def __call__(self, texts):
                rows = [[hash(word) % 30_000 for word in WORD.findall(text)[:4000]] for text in texts]
                return torch.tensor(rows)
        """, "__call__", 60, {"num_workers": 1}, ", collate_fn=Tokenize()", {"num_workers": 2}, batch_size=32,
    ),
    Pipeline(
        "pickled-objects", ("transfer",), """
        def keep(items):
            return items

        class Data(Items):
            def __getitem__(self, index):
                return {"image": np.zeros((250, 1000)), "index": index}
        """, "", 80, {"num_workers": 2}, ", collate_fn=keep", step_s=0.002,
    ),
    Pipeline(
        "lists-of-numbers", ("transfer",),
        _LISTS.format(item="self.tokens[index % 64]", batch="[item.tolist() for item in items]"), "", 60,
        {"num_workers": 2}, ", collate_fn=keep",
        cured_definitions=_LISTS.format(
            item="self.tokens[index % 64]", batch="torch.from_numpy(np.stack(items))"
        ),
        batch_size=32, step_s=0.005,
    ),
    Pipeline(
        "many-small-tensors", ("transfer",), _MANY.format(body="return items"), "", 60, {"num_workers": 2},
        ", collate_fn=collate",
        cured_definitions=_MANY.format(body="return torch.stack([torch.stack(list(i.values())) for i in items])"),
        step_s=0.01,
    ),
    Pipeline(
        "tiny-batches", ("transfer",), """
        class Data(Items):
            def __init__(self):
                self.rows = torch.rand(64, 4)

            def __getitem__(self, index):
                return self.rows[index % 64]
        """, "", 1500, {"num_workers": 1}, cure={"num_workers": 0}, batch_size=4, step_s=0.0003, busy_step=True,
    ),
    Pipeline(
        # The worker stacks nothing: its feeder thread copies each volume to shared memory.
        "volumes", ("transfer", "fetch-cpu"), """
        class Data(Items):
            def __init__(self):
                self.volume = torch.rand(12_000_000)

            def __getitem__(self, index):
                return self.volume[: 12_000_000 - index % 7].clone()
        """, "", 100, {"num_workers": 1, "batch_size": None}, batch_size=1, step_s=0.002,
    ),
)  # fmt: skip
