"""More examples of DLC205, beside those of its page."""

FOUND: tuple[str, ...] = ()
CLEAN = (
    """
    import random
    from torch.utils.data import DataLoader, Dataset

    class Pairs(Dataset):
        def __init__(self, items):
            self.items = items
            self.partner = list(range(len(items)))
        def new_pairs(self):
            random.shuffle(self.partner)
        def __len__(self):
            return len(self.items)
        def __getitem__(self, i):
            return self.items[i], self.items[self.partner[i]]

    def train(items, model):
        pairs = Pairs(items)
        loader = DataLoader(pairs, shuffle=True, num_workers=4)
        for epoch in range(10):
            pairs.new_pairs()
            for a, b in loader:
                model(a, b).backward()
    """,
    """
    from torch.utils.data import DataLoader, Dataset

    class Augment:
        def switch_off(self):
            self.steps = []

    class Scans(Dataset):
        def __init__(self):
            self.augment = Augment()
        def __getitem__(self, i):
            return self.augment(i)

    def before_epoch(batches, epoch):
        if epoch > 90:
            batches._dataset.augment.switch_off()

    def main(model):
        loader = DataLoader(Scans(), num_workers=4)
        for epoch in range(100):
            before_epoch(iter(loader), epoch)
            for x in loader:
                model(x).backward()
    """,
    """
    from torch.utils.data import DataLoader, Dataset

    class Lists(Dataset):
        def __init__(self, files):
            self.files = files
        def __getitem__(self, i):
            return self.files[i]
        def new_epoch(self):
            self._mix()
        def _mix(self):
            self.files.reverse()

    class Trainer:
        def __init__(self, files):
            self.loader = DataLoader(Lists(files), num_workers=4)
        def fit(self, model):
            for epoch in range(100):
                self.next_files()
                for x in self.loader:
                    model(x).backward()
        def next_files(self):
            self.loader.dataset.new_epoch()
    """,
    """
    # file: sets.py
    from torch.utils.data import Dataset

    SETS = {}

    class Clips(Dataset):
        epoch = 0
        def start_epoch(self, epoch):
            self.epoch = epoch
        def __getitem__(self, i):
            return i + self.epoch

    SETS["clips"] = Clips
    # file: train.py
    from torch.utils.data import DataLoader
    from sets import SETS

    def loader_of(settings):
        return DataLoader(SETS[settings.name](settings), num_workers=4)

    def main(settings, model):
        loader = loader_of(settings)
        for epoch in range(100):
            if hasattr(loader.dataset, "start_epoch"):
                loader.dataset.start_epoch(epoch)
            for x in loader:
                model(x).backward()
    """,
    """
    import torch
    from torch.utils.data import BatchSampler, DataLoader, Sampler

    class Forever(Sampler):
        def __init__(self, size):
            self.size = size
        def __iter__(self):
            yield from self._indices()
        def _indices(self):
            while True:
                yield from torch.randperm(self.size).tolist()

    class InBatches(BatchSampler):
        pass

    def main(dataset, model, steps_per_epoch):
        sampler = Forever(len(dataset))
        loader = DataLoader(dataset, batch_sampler=InBatches(sampler, 16, False), num_workers=4)
        for epoch in range(100):
            for step, x in zip(range(steps_per_epoch), loader):
                model(x).backward()
    """,
    """
    from torch.utils.data import DataLoader

    class Ahead:
        def __init__(self, loader):
            self.batches = iter(loader)
            self.fetch()
        def fetch(self):
            self.upcoming = next(self.batches, None)
        def next(self):
            batch = self.upcoming
            self.fetch()
            return batch

    class Training:
        def __init__(self, dataset, model):
            self.model = model
            self.loader = DataLoader(dataset, num_workers=4)
        def run(self):
            self.ahead = Ahead(self.loader)
            for epoch in range(100):
                self.one_epoch()
        def one_epoch(self):
            for step in range(1000):
                self.model(self.ahead.next()).backward()
    """,
)
