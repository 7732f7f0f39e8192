"""A training loader loads in the main process, while its items are read or decoded from files.

With `num_workers=0` every batch is loaded between two steps, and the GPU waits for all of it. Workers load the next batches
while the step runs. How many pay off depends on the work per batch and on the cores: `dlcheck run` measures it.
Source: PyTorch documentation, *Single- and Multi-process Data Loading*.

**Found:** a training loader whose `num_workers` is left out or 0, over a dataset whose item path opens, reads or decodes
files.

**Left alone:** data in memory (`TensorDataset`, arrays, MNIST): workers make it slower; a count that comes from the command
line or a configuration (its default of 0 is reported with low confidence); evaluation loaders; loaders
of which some batches are only looked at.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterator

from dlcheck.facts.model import At
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.looks import draws, left_early
from dlcheck.program.program import Program
from dlcheck.program.scope import Scope


def check(program: Program) -> Iterator[Report]:
    for loader in program.loaders:
        if loader.workers not in ("none", "none by default") or program.in_memory(loader):
            continue
        role = program.role(loader)
        evidence = program.reads_files(loader)
        if role == "eval" or evidence is None or _only_looked_at(program, loader):
            continue
        also: tuple[tuple[Scope, At], ...] = ()
        if isinstance(evidence, str):
            why = f"`{evidence.rpartition('.')[2]}` reads and decodes a file for every item"
        else:
            why = f"its dataset calls `{_short(evidence.names)}` for every item"
            also = ((evidence.site.scope, evidence.site.at),)
        yield Report(
            loader.scope,
            loader.at,
            f"this training loader loads in the main process (`{loader.spelled('num_workers')}=0`), and {why}: the step waits "
            "for all of it",
            help=f"pass `{loader.spelled('num_workers')}` (start with a few, at most the cores you have; `dlcheck run` tells how "
            "many pay off)",
            confidence="high" if loader.workers == "none" and role == "train" else "low",
            also=also,
        )


def _only_looked_at(program: Program, loader: Loader) -> bool:
    uses = program.uses_of[loader]
    return bool(uses) and all(use.kind == "next" or left_early(use) or draws(use) for use in uses)


def _short(names: tuple[str, ...]) -> str:
    return (names[0] if names else "").removeprefix("builtins.")


RULE = Rule(
    code="DLC203",
    name="no-workers",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("main",),
    found=(
        """
        # file: data.py
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths, processor):
                self.paths = paths
                self.processor = processor
            def __len__(self):
                return len(self.paths)
            def __getitem__(self, index):
                return self.processor(Image.open(self.paths[index]).convert("RGB"))
        # file: train.py
        from transformers import Trainer, TrainingArguments
        from data import Photos

        class OurTrainer(Trainer):
            pass

        def main(model, paths, processor):
            args = TrainingArguments("out", num_train_epochs=3)  # <- DLC203
            OurTrainer(model, args, train_dataset=Photos(paths, processor)).train()
        """,
        """
        from PIL import Image
        from torch.utils.data import DataLoader, Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                return Image.open(self.paths[index]).convert("RGB")

        def train(model, optimizer, paths):
            loader = DataLoader(Photos(paths), batch_size=32, shuffle=True)  # <- DLC203
            for images in loader:
                model(images).backward()
                optimizer.step()
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        train_loader = DataLoader(ImageFolder("train"), batch_size=32, shuffle=True, num_workers=0)  # <- DLC203
        """,
        """
        # file: data.py
        import numpy as np
        from torch.utils.data import Dataset

        def read(path):
            return np.load(path)

        class Arrays(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, i):
                return read(self.files[i])
        # file: train.py
        from torch.utils.data import DataLoader
        from data import Arrays

        def main(files):
            train_loader = DataLoader(Arrays(files), batch_size=32)  # <- DLC203
        """,
        """
        import lightning as L
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        class Data(L.LightningDataModule):
            def train_dataloader(self):
                return DataLoader(ImageFolder("train"), shuffle=True)  # <- DLC203
        """,
    ),
    clean=(
        """
        import torch
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        def extract(model, loader):
            out = []
            for images, labels in loader:
                out.append(model(images.cuda()).cpu())
            return out

        @torch.no_grad()
        def main(model, folder, transform):
            train_loader = DataLoader(ImageFolder(folder, transform), batch_size=64)
            return extract(model, train_loader)
        """,
        """
        import matplotlib.pyplot as plt
        from PIL import Image
        from torch.utils.data import DataLoader, Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                return Image.open(self.paths[index]).convert("RGB")

        if __name__ == "__main__":
            train_data = Photos(["a.jpg"])
            for image in DataLoader(train_data, batch_size=1, collate_fn=lambda x: x[0]):
                plt.imshow(image)
                plt.show()
        """,
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        train_loader = DataLoader(TensorDataset(torch.zeros(10)), shuffle=True)
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import MNIST

        train_loader = DataLoader(MNIST("data"), batch_size=32, shuffle=True)
        """,
        """
        from torch.utils.data import DataLoader
        from torchvision.datasets import ImageFolder

        def loaders(args):
            train_loader = DataLoader(ImageFolder("train"), num_workers=args.workers)
            val_loader = DataLoader(ImageFolder("val"), num_workers=0)
            return train_loader, val_loader
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Numbers(Dataset):
            def __init__(self, path):
                with open(path) as f:
                    self.rows = [float(line) for line in f]
            def __getitem__(self, i):
                return self.rows[i]

        train_loader = DataLoader(Numbers("a.txt"), shuffle=True)
        """,
    ),
)
