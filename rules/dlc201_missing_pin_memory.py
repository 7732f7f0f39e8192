"""Batches go to a CUDA device, but the loader does not pin them.

A copy from ordinary (pageable) memory to a GPU goes through a staging buffer and blocks the loop. With `pin_memory=True` a
thread of the loader copies each batch to page-locked memory while the GPU computes, and `.to(device, non_blocking=True)`
then returns at once. Source: PyTorch documentation, *Memory pinning* of `torch.utils.data`, and the tutorial on `pin_memory`
and `non_blocking`.

**Found:** a loader with workers, or whose items are read from files, whose batches are moved to a CUDA device somewhere in
the project, with `pin_memory` left out or `False`.

**Left alone:** no transfer to an accelerator in sight (pinning without one does nothing); batches that are cast or copied
before the transfer (`x.float().cuda()`, a way through numpy: the copy is not pinned), whatever becomes of their labels; graphs
of DGL, which cannot be pinned; `pin_memory` that comes from a configuration. With low confidence: batches of objects with no
`pin_memory` method, which torch does not pin; and, as the gain is small, data in memory with no workers, also by default, and
loaders of which a few batches are drawn as pictures.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.lint.fix import Fix, SetArgument
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.batches import holds_graphs, holds_objects
from dlcheck.program.lightning import trained_on_gpu
from dlcheck.program.loaders import Loader
from dlcheck.program.looks import draws, left_early
from dlcheck.program.program import Program
from dlcheck.program.scope import Binding
from dlcheck.program.transfers import Transfer


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if loader.pinned != "no":
            continue
        transfers = [
            t for use in program.uses_of[loader] for t in program.transfers(use) if t.device == "cuda"
        ]
        direct = _gaining(transfers)
        where = (direct[0].scope, direct[0].call.at) if direct else trained_on_gpu(program, loader)
        if where is None or (transfers and not direct) or holds_graphs(program, loader):
            continue
        objects = holds_objects(program, loader)
        sure = (loader.may_have_workers and not loader.none_unless_asked_for) or (
            program.reads_files(loader) is not None and not program.in_memory(loader)
        )
        if objects or loader.left_open("pin_memory") or _only_looked_at(program, loader, direct):
            sure = False
        yield Report(
            loader.scope,
            loader.at,
            "batches of this loader are copied to a CUDA device from pageable memory, and each copy blocks the loop: "
            f"pass `{loader.spelled('pin_memory')}=True`",
            help="leave `dataloader_pin_memory` at its default, which is true"
            if loader.kind == "trainer"
            else "give the class of the batches a method `pin_memory`, without which they are not pinned, and pass it here"
            if objects
            else "pass `pin_memory=True` (or `pin_memory=torch.cuda.is_available()`), and "
            "`non_blocking=True` where the batch is moved",
            confidence="high" if sure else "low",
            also=(where,),
            fix=None if objects else _fix(loader),
        )


def _gaining(transfers: list[Transfer]) -> list[Transfer]:
    """The transfers that pinning makes faster: not those of copies, nor of the labels of samples that are copied."""
    copied = {t.use for t in transfers if t.copied}
    return [t for t in transfers if not t.copied and not (t.is_label and t.use in copied)]


def _only_looked_at(program: Program, loader: Loader, transfers: list[Transfer]) -> bool:
    """A few batches are drawn as pictures, once."""
    looks = bool(transfers) and all(left_early(t.use) and draws(t.use) for t in transfers)
    return looks and not program.is_repeated(loader)


def _fix(loader: Loader) -> Fix | None:
    if not loader.settable("pin_memory"):
        return None
    # Where there is no GPU, ``True`` would only give a warning; torch itself may be imported under any name.
    torch = next((n for n, b in loader.scope.module.scope.bindings.items() if _is_torch(b)), None)
    value = f"{torch}.cuda.is_available()" if torch is not None else "True"
    return Fix(f"pass `pin_memory={value}`", (SetArgument(loader.at, "pin_memory", value),), safe=True)


def _is_torch(bindings: list[Binding]) -> bool:
    return any(b.kind == "import" and b.node.name is None and b.node.module == "torch" for b in bindings)


RULE = Rule(
    code="DLC201",
    name="missing-pin-memory",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("transfer", "pin-memory"),
    found=(
        """
        from torch.utils.data import DataLoader

        def main(train, val, model):
            parts = {
                "train": DataLoader(train, num_workers=4, shuffle=True),  # <- DLC201
                "val": DataLoader(val, num_workers=4),  # <- DLC201
            }
            for phase, part in parts.items():
                for x in part:
                    model(x.cuda())
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def to_gpu(x):
            x = x.contiguous()
            if torch.cuda.is_available():
                x = x.cuda(non_blocking=True)
            return x

        def main(dataset, model):
            loader = DataLoader(dataset, batch_size=32, num_workers=4)  # <- DLC201
            for text, _ in loader:
                model(to_gpu(text)).backward()
        """,
        """
        # file: library/scans.py
        from torch.utils.data import DataLoader

        def loader_of(scans):
            return DataLoader(scans, batch_size=4, num_workers=4)  # <- DLC201
        # file: tools/train.py
        import os
        import sys

        sys.path.append(os.path.join(os.path.dirname(__file__), "..", "library"))
        import scans

        def main(dataset, model):
            for batch in scans.loader_of(dataset):
                model(batch.cuda()).backward()
        """,
        """
        from transformers import Trainer, TrainingArguments

        def main(model, train_set):
            args = TrainingArguments(  # <- DLC201
                "out", per_device_train_batch_size=8, dataloader_num_workers=4, dataloader_pin_memory=False
            )
            Trainer(model=model, args=args, train_dataset=train_set).train()
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model, device=torch.device("cuda")):
            loader = DataLoader(dataset, batch_size=64, num_workers=4)  # <- DLC201
            for images, labels in loader:
                model(images.to(device)).backward()
        """,
        """
        # file: data.py
        from torch.utils.data import DataLoader

        def make_loader(dataset, workers=8):
            return DataLoader(dataset, batch_size=64, shuffle=True, num_workers=workers, pin_memory=False)  # <- DLC201
        # file: train.py
        from data import make_loader
        from dataset import Images

        def main(model):
            loader = make_loader(Images())
            for epoch in range(10):
                for batch in loader:
                    x = batch["image"].cuda(non_blocking=True)
                    model(x)
        """,
        """
        import torch
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loader = DataLoader(ImageFolder("data"), batch_size=4)  # <- DLC201
        for step, (x, y) in enumerate(loader):
            x, y = x.to(device), y.to(device)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        Tensor = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor

        def run(dataset):
            loader = DataLoader(dataset, num_workers=2)  # <- DLC201
            for batch in loader:
                real = batch["A"].type(Tensor)
        """,
    ),
    clean=(
        """
        import dgl
        import torch
        from torch.utils.data import DataLoader

        def collate(items):
            graphs, labels = zip(*items)
            graph = dgl.batch(graphs)
            return graph, torch.tensor(labels)

        def train(molecules, model, device=torch.device("cuda")):
            for graph, labels in DataLoader(molecules, collate_fn=collate, num_workers=4):
                graph, labels = graph.to(device), labels.to(device)
                model(graph, labels).backward()
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def show(dataset, model, plt):
            loader = DataLoader(dataset, batch_size=1, num_workers=4)
            for i, image in enumerate(loader):
                if i > 1:
                    break
                plt.imshow(model(image.cuda())[0].cpu())
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def main(dataset, model, jitter, use_gpu=True):
            loader = DataLoader(dataset, batch_size=32, num_workers=4)
            for cloud, target in loader:
                cloud = cloud.numpy()
                cloud[:, :, 0:3] = jitter(cloud[:, :, 0:3])
                cloud = torch.Tensor(cloud)
                cloud = cloud.transpose(2, 1)
                if use_gpu:
                    cloud, target = cloud.cuda(), target[:, 0].cuda()
                model(cloud, target).backward()
        """,
        """
        from torch.utils.data import DataLoader

        def main(dataset, model, length):
            loader = DataLoader(dataset, batch_size=32, num_workers=4)
            for past, future in loader:
                past = past.float().cuda()
                future = future.float().cuda()
                future = future[:, -length:].to("cuda:0")
                model(past, future).backward()
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(nodes, sampler, model, device=torch.device("cuda")):
            for seeds, blocks in DataLoader(nodes, collate_fn=sampler.sample, num_workers=4):
                blocks = [block.to(device) for block in blocks]
                model(blocks, blocks[0].srcdata["feat"])
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        class Padded:
            def __init__(self, values, lengths):
                self.values, self.lengths = values, lengths
            def to(self, device):
                return Padded(self.values.to(device), self.lengths.to(device))

        def pad(sounds):
            longest = max(len(sound) for sound in sounds)
            return Padded(torch.zeros(len(sounds), longest), torch.zeros(len(sounds)))

        def collate(items):
            batch = list(zip(*items))
            batch[0] = pad(batch[0])
            return tuple(batch)

        def train(dataset, model):
            loader = DataLoader(dataset, batch_size=64, num_workers=4, collate_fn=collate)
            for sounds, labels in loader:
                model(sounds.to("cuda"), labels.to("cuda")).backward()
        """,
        """
        from torch.utils.data import DataLoader

        class Engine:
            def __init__(self, train_set, num_worker=0):
                self.train_set = train_set
                self.num_worker = num_worker
            def train(self, model):
                for batch in DataLoader(self.train_set, batch_size=32, num_workers=self.num_worker):
                    model(batch.cuda())
        """,
        """
        from transformers import Trainer, TrainingArguments

        def main(model, train_set):
            args = TrainingArguments("out", per_device_train_batch_size=8, dataloader_num_workers=4)
            Trainer(model=model, args=args, train_dataset=train_set).train()
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4)
            for images, labels in loader:
                model(images)
        """,
        """
        import torch
        from torch.utils.data import DataLoader

        def train(dataset, model):
            kwargs = {"num_workers": 4}
            if torch.cuda.is_available():
                kwargs.update({"pin_memory": True})
            loader = DataLoader(dataset, **kwargs)
            for images, labels in loader:
                model(images.cuda())
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model, config):
            loader = DataLoader(dataset, num_workers=4, pin_memory=config.pin)
            for images, labels in loader:
                model(images.cuda())
        """,
        """
        from torch.utils.data import DataLoader

        def train(dataset, model):
            loader = DataLoader(dataset, num_workers=4)
            for images, labels in loader:
                model(images.float().div(255).cuda())
        """,
    ),
)
