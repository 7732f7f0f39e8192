"""Pinned batches are moved with a copy that blocks, or batches that are not pinned with one that cannot help blocking.

`pin_memory=True` pays off only with `non_blocking=True`: without it the loop waits for every copy to finish before it
starts the step. The other way round, `non_blocking=True` on pageable memory does nothing. Source: PyTorch documentation,
*Use pinned memory buffers* (CUDA semantics).

**Found:** `.to(device)` or `.cuda()` on a batch of a pinned loader in a loop, without `non_blocking=True`; and
`non_blocking=True` on batches of a loader with workers that is not pinned.

**Left alone:** a batch that is cast, copied or computed with before it is moved; what is on the GPU already; graphs of DGL,
which cannot be pinned; one batch outside a loop; moves to the CPU; batches of objects with no `pin_memory` method, which are
not pinned and have a `to` of their own; batches of a loader that Accelerate or Fabric prepared, which are on the device already.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterable, Iterator

from dlcheck.facts.model import Const
from dlcheck.lint.fix import Fix, SetArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.batches import holds_graphs, holds_objects
from dlcheck.program.paths import loop_around
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope
from dlcheck.program.transfers import Transfer
from dlcheck.program.uses import Use


def check(program: Program) -> Iterator[Report]:
    not_tensors = {x for x in program.loaders if holds_objects(program, x) or holds_graphs(program, x)}
    for use in program.consumption.uses:
        if not_tensors.intersection(use.loaders) or program.consumption.prepared.intersection(use.loaders):
            continue
        if use.kind not in ("for", "comp", "next") or (use.scope.kind == "module" and not use.loaders):
            continue
        if use.kind == "next" and loop_around(use.block) is None:
            continue  # one batch, once
        yield from _blocking(program, use)


def _blocking(program: Program, use: Use) -> Iterator[Report]:
    pinned = [loader for loader in use.loaders if loader.pinned == "yes"]
    unpinned = bool(use.loaders) and all(
        x.pinned == "no" and x.workers == "some" and not x.left_open("pin_memory") for x in use.loaders
    )
    transfers = [t for t in program.transfers(use) if t.device == "cuda" and not t.copied]
    if pinned:
        for group in _by_line(t for t in transfers if t.non_blocking == "no"):
            several = len(group) > 1
            yield Report(
                group[0].scope,
                group[0].call.at,
                f"{_what(group)} {'come' if several else 'comes'} from a pinned loader, but "
                f"{'these copies' if several else 'this copy'} to the GPU {'block' if several else 'blocks'} the loop: "
                "pass `non_blocking=True`",
                help="pass `non_blocking=True`; PyTorch keeps the order of the copy and the kernels that use it",
                also=((pinned[0].scope, pinned[0].at),),
                fix=_fix(group),
            )
    if unpinned:
        loader = use.loaders[0]
        for group in _by_line(t for t in transfers if t.non_blocking == "yes" and _says_so(t)):
            yield Report(
                group[0].scope,
                group[0].call.at,
                f"`non_blocking=True` does nothing here: {_what(group)} {'come' if len(group) > 1 else 'comes'} from a "
                "loader without `pin_memory=True`, and a copy from pageable memory blocks",
                help="pass `pin_memory=True` to the loader",
                also=((loader.scope, loader.at),),
            )


def _by_line(transfers: Iterable[Transfer]) -> list[list[Transfer]]:
    """Copies in one line are one finding."""
    lines: dict[tuple[Scope, int], list[Transfer]] = {}
    for transfer in transfers:
        lines.setdefault((transfer.scope, transfer.call.at[0]), []).append(transfer)
    return list(lines.values())


def _says_so(transfer: Transfer) -> bool:
    """``non_blocking=True`` stands in the call; a function that only hands it on is not to blame."""
    return any(k == "non_blocking" and isinstance(v, Const) for k, v in transfer.call.keywords)


def _fix(group: list[Transfer]) -> Fix | None:
    if any(key is None for transfer in group for key, _ in transfer.call.keywords):
        return None
    edits = tuple(SetArgument(transfer.call.at, "non_blocking", "True") for transfer in group)
    return Fix("pass `non_blocking=True`", edits, safe=True)


def _what(group: list[Transfer]) -> str:
    names = [f"`{name}`" for name in dict.fromkeys(transfer.base for transfer in group) if name]
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    if not names:
        return "the batch"
    return names[0] if len(group) == 1 else f"parts of {names[0]}"


RULE = Rule(
    code="DLC202",
    name="blocking-transfer",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("transfer", "pin-memory"),
    found=(
        """
        from torch.utils.data import DataLoader
        from tqdm import tqdm

        def train(data, model, rank):
            batches = DataLoader(data, num_workers=4, pin_memory=True)
            for epoch in range(10):
                progress = enumerate(batches)
                if rank == 0:
                    progress = tqdm(progress, total=len(batches))
                for step, images in progress:
                    model(images.cuda()).backward()  # <- DLC202
        """,
        """
        # file: digits.py
        from torch.utils.data import DataLoader

        def train(net, batches):
            net.train()
            for batch in batches:
                net(batch.cuda())  # <- DLC202

        def main(net, data):
            train(net, DataLoader(data, num_workers=2, pin_memory=True))
        # file: letters.py
        from torch.utils.data import DataLoader

        def train(net, batches):
            net.train()
            for batch in batches:
                net(batch.cuda())  # <- DLC202

        def main(net, data):
            train(net, DataLoader(data, num_workers=2, pin_memory=True))
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, device=torch.device("cuda")):
            for batch in DataLoader(dataset, num_workers=4, pin_memory=True):
                for key in batch.keys():
                    batch[key] = batch[key].to(device)  # <- DLC202
                model(batch)
        """,
        """
        from torch.utils.data import DataLoader

        def scores(data, model, device="cuda"):
            loader = DataLoader(data, num_workers=4, pin_memory=True)
            batches = (images.to(device) for images, _ in loader)  # <- DLC202
            return [model(images) for images in batches]
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def main(data, model):
            device = torch.device("cuda:0")
            for batch in DataLoader(data, num_workers=4, pin_memory=True):
                x, y = map(lambda part: part.to(device, dtype=torch.float), batch)  # <- DLC202
                model(x, y)
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model, device="cuda"):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            for images, labels in loader:
                images = images.to(device)  # <- DLC202
                model(images)
        """,
        """
        # file: loops.py
        def evaluate(net, dataloader, device):
            for batch in dataloader:
                image, mask = batch["image"], batch["mask"]
                image = image.to(device=device)  # <- DLC202
                net(image)
        # file: train.py
        import torch
        from torch.utils.data import DataLoader
        from loops import evaluate

        def main(dataset, net):
            loader_args = dict(batch_size=8, num_workers=2, pin_memory=True)
            loader = DataLoader(dataset, **loader_args)
            evaluate(net, loader, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        """,
        """
        from torch.utils.data import DataLoader

        class Trainer:
            def __init__(self, dataset, gpu_id):
                self.loader = DataLoader(dataset, pin_memory=True)
                self.gpu_id = gpu_id

            def epoch(self):
                for source, targets in self.loader:
                    source = source.to(self.gpu_id)  # <- DLC202
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4)
            for images, labels in loader:
                images = images.cuda(non_blocking=True)  # <- DLC202
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def run(dataset, model, device=torch.device("cuda")):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            batches = iter(loader)
            for step in range(1000):
                try:
                    batch = next(batches)
                except StopIteration:
                    batches = iter(loader)
                    batch = next(batches)
                x, y = [t.to(device) for t in batch]  # <- DLC202
                model(x, y).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def fit(model, data, rank):
            device = f"cuda:{rank}"
            loader = DataLoader(data, batch_size=2, num_workers=4, pin_memory=True)
            for images, targets in loader:
                images = [image.to(device) for image in images]  # <- DLC202
                model(images, targets)
        """,
    ),
    clean=(
        """
        import dgl
        from torch.utils.data import DataLoader

        def collate(graphs):
            return dgl.batch(graphs)

        def train(molecules, model):
            for graph in DataLoader(molecules, collate_fn=collate, num_workers=4, pin_memory=True):
                model(graph.to("cuda")).backward()
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, device=torch.device("cuda")):
            for batch in DataLoader(dataset, num_workers=4, pin_memory=True):
                batch = batch.to(device, non_blocking=True)
                weights = batch.weights.to(device)
                model(batch, weights)

        def gather(dataset, model, device=torch.device("cuda")):
            for features, nodes, lengths in DataLoader(dataset, num_workers=4, pin_memory=True):
                model(features[nodes].to(device))
                lengths = lengths.int()
                model(lengths.to(device))

        def graphs(dataset, model, device=torch.device("cuda")):
            for graph in DataLoader(dataset, num_workers=4, pin_memory=True):
                model(graph.to(device), graph.ndata["mask"].to(device))
        """,
        """
        from accelerate import Accelerator
        from torch.utils.data import DataLoader

        def endlessly(loader):
            while True:
                yield from loader

        class Training:
            def __init__(self, dataset, model):
                self.accelerator = Accelerator()
                loader = DataLoader(dataset, num_workers=4, pin_memory=True)
                model, loader = self.accelerator.prepare(model, loader)
                self.model, self.batches = model, endlessly(loader)
            def run(self):
                for step in range(1000):
                    images, labels = next(self.batches)
                    images = images.to(self.accelerator.device)
                    self.accelerator.backward(self.model(images, labels))
        """,
        """
        from dataclasses import dataclass
        from torch import Tensor, stack
        from torch.utils.data import DataLoader

        @dataclass
        class Batch:
            images: Tensor
            def to(self, device):
                return Batch(self.images.to(device))

        def collate(items):
            return Batch(stack(items))

        def train(dataset, model):
            for batch in DataLoader(dataset, num_workers=4, pin_memory=True, collate_fn=collate):
                model(batch.to("cuda").images)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, device=None):
            device = torch.device(device)
            for images in DataLoader(dataset, num_workers=2, pin_memory=True):
                model(images.to(device))

        def repeat(dataset, model, device):
            device = torch.device(device)
            train(dataset, model, device)
            repeat(dataset, model, device)
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model, device="cuda"):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            for images, labels in loader:
                images = images.to(device, non_blocking=True)
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            for images, labels in loader:
                images = images.float().cuda()
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            for images, labels in loader:
                loss = model(images).to("cpu")
        """,
        """
        from torch.utils.data import DataLoader

        def show(dataset, model):
            loader = DataLoader(dataset, num_workers=4, pin_memory=True)
            images, labels = next(iter(loader))
            model(images.cuda())
        """,
    ),
)
