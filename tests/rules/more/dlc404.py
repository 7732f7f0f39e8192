"""More examples of DLC404, beside those of its page."""

FOUND = (
    """
    from accelerate import Accelerator
    from datasets import load_dataset
    from torch.utils.data import DataLoader

    def main(model, optimizer, tokenize):
        accelerator = Accelerator()
        dataset = load_dataset("imdb").map(tokenize, batched=True)
        train_loader = DataLoader(dataset["train"], batch_size=8)  # <- DLC404
        model, optimizer, train_loader = accelerator.prepare(model, optimizer, train_loader)
        for batch in train_loader:
            accelerator.backward(model(**batch).loss)
            optimizer.step()
    """,
    """
    import torch
    from torch.utils.data import DataLoader
    from torch.utils.data.distributed import DistributedSampler
    from torchvision.datasets import ImageFolder

    def main(args, model, optimizer):
        train_set = ImageFolder(args.data)
        if args.distributed:
            train_sampler = DistributedSampler(train_set)
        else:
            train_sampler = None
        loader = DataLoader(train_set, batch_size=64, num_workers=4, sampler=train_sampler)  # <- DLC404
        for epoch in range(args.epochs):
            for x, y in loader:
                model(x, y).backward()
                optimizer.step()
    """,
)
CLEAN = (
    """
    from datasets import load_dataset
    from torch.utils.data import DataLoader

    def streamed(model, optimizer, tokenize):
        train_loader = DataLoader(load_dataset("c4", split="train", streaming=True).map(tokenize), batch_size=8)
        for batch in train_loader:
            model(**batch).loss.backward()
            optimizer.step()

    def shuffled():
        return load_dataset("imdb", split="train").shuffle(seed=1).with_format("torch")

    def by_hand(model, optimizer):
        train_loader = DataLoader(shuffled(), batch_size=8)
        for batch in train_loader:
            model(**batch).loss.backward()
            optimizer.step()
    """,
    """
    from torch.utils.data import DataLoader, Dataset

    class Picture(Dataset):
        def __init__(self, pixels):
            self.pixels = pixels

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return self.pixels[index]

    def fit(pixels, model, optimizer):
        train_loader = DataLoader(Picture(pixels), batch_size=1)
        for x in train_loader:
            model(x).backward()
            optimizer.step()
    """,
    """
    import pandas as pd
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def main(model, optimizer):
        table = pd.concat([pd.read_parquet("a.parquet").sample(n=99), pd.read_parquet("b.parquet")]).sample(frac=1)
        train_loader = DataLoader(TensorDataset(torch.tensor(table.values)), batch_size=32)
        for (x,) in train_loader:
            model(x).backward()
            optimizer.step()
    """,
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Rows(Dataset):
        def __init__(self, rows):
            self.rows = rows
            self.order = np.arange(len(rows))
        def after_epoch(self):
            np.random.shuffle(self.order)
        def __len__(self):
            return len(self.rows)
        def __getitem__(self, i):
            return self.rows[self.order[i]]

    def train(rows, model, optimizer):
        data = Rows(rows)
        loader = DataLoader(data, batch_size=8)
        for epoch in range(3):
            for batch in loader:
                model(batch).backward()
                optimizer.step()
            data.after_epoch()
    """,
    """
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Sentences(Dataset):
        def __getitem__(self, index):
            return self.sentences[index]

    def main(args, stream, model, optimizer):
        dataset = stream(args.path) if args.stream else Sentences(args.path)
        if isinstance(dataset, torch.utils.data.IterableDataset):
            train_loader = DataLoader(dataset, batch_size=64)
        else:
            train_loader = DataLoader(dataset, batch_size=64, shuffle=True)
        for batch in train_loader:
            model(batch).backward()
            optimizer.step()
    """,
    """
    import torch
    from torch.utils.data import DataLoader
    from torch.utils.data.distributed import DistributedSampler
    from torchvision.datasets import ImageFolder

    def make_loader(folder, rank):
        images = ImageFolder(folder)
        sampler = DistributedSampler(images) if rank != -1 else None
        return DataLoader(images, batch_size=64, num_workers=4, sampler=sampler)

    def main(args, model, optimizer):
        loader, test_loader = make_loader(args.data, args.rank), make_loader(args.test, args.rank)
        for epoch in range(args.epochs):
            for x, y in loader:
                model(x, y).backward()
                optimizer.step()
            for x, y in test_loader:
                with torch.no_grad():
                    model(x)
    """,
    """
    from torch.utils.data import DataLoader, DistributedSampler
    from torchvision.datasets import ImageFolder

    def main(args, model, optimizer):
        train_set = ImageFolder(args.data)
        train_sampler = DistributedSampler(train_set) if args.distributed else None
        loader = DataLoader(train_set, sampler=train_sampler, shuffle=train_sampler is None)
        for x, y in loader:
            model(x, y).backward()
            optimizer.step()
    """,
    """
    import random
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    class Shuffled(Dataset):
        def __init__(self, items):
            self.items = items
            random.shuffle(self.items)
        def __getitem__(self, index):
            return self.items[index]

    class Drawn(Dataset):
        def __init__(self, items):
            self.items = items
        def __getitem__(self, index):
            return random.choice(self.items)

    class Lines(IterableDataset):
        def __iter__(self):
            yield from open("x")

    def main(items, model):
        for dataset in (Shuffled(items), Drawn(items), Lines()):
            for x in DataLoader(dataset, batch_size=4):
                model(x).backward()
    """,
    """
    import torch
    from torch.utils.data import DataLoader, Dataset, TensorDataset

    class RandomDataset(Dataset):
        def __init__(self, size):
            self.data = torch.randn(size, 32)
        def __getitem__(self, index):
            return self.data[index]

    def benchmark(model, x, y):
        whole = DataLoader(TensorDataset(x, y), batch_size=len(x))
        fake = DataLoader(TensorDataset(torch.randn(10, 3)), batch_size=2)
        train_loader = DataLoader(RandomDataset(32), batch_size=2)
        for loader in (whole, fake, train_loader):
            for batch in loader:
                model(batch).backward()
    """,
)
