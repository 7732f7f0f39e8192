"""More examples of DLC401, beside those of its page."""

FOUND = (
    """
    import random
    from torch.utils.data import DataLoader

    class Masking:
        def __init__(self, share, seed=7):
            self.share = share
            self.draw = random.Random(seed)  # <- DLC401

        def __call__(self, sentences):
            return [[0 if self.draw.random() < self.share else word for word in s] for s in sentences]

    def build(train_set):
        return DataLoader(train_set, 8, shuffle=True, num_workers=4, collate_fn=Masking(0.15))
    """,
    """
    import torch
    from torch.utils.data import DataLoader

    def main(dataset, args):
        loader = DataLoader(dataset, 32, shuffle=True, num_workers=4)
        for epoch in range(args.epochs):
            torch.manual_seed(args.seed)  # <- DLC401
            for x in loader:
                x.sum().backward()
    """,
    """
    import random
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset, get_worker_info

    class Segments(Dataset):
        def __init__(self, clips):
            self.clips = clips
        def __getitem__(self, index):
            if get_worker_info() is not None:
                random.seed(get_worker_info().seed)  # <- DLC401
            start = random.randint(0, 100)
            return self.clips[index][start : start + 50]

    class Noisy(Dataset):
        def __init__(self, clips):
            self.clips = clips
        def __getitem__(self, index):
            rng = np.random.default_rng(torch.initial_seed() % 2**32)  # <- DLC401
            return self.clips[index] + rng.normal()

    train_loader = DataLoader(Segments([]), num_workers=4)
    """,
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset, get_worker_info

    class Patches(Dataset):
        def __init__(self, images):
            self.images = images
            self.seeded = False
        def __getitem__(self, index):
            if not self.seeded:
                info = get_worker_info()
                if info is not None:
                    np.random.seed(info.id)  # <- DLC401
                    self.seeded = True
            return self.images[index][:, np.random.randint(64):]

    def main(images, model):
        loader = DataLoader(Patches(images), shuffle=True, num_workers=4)
        for epoch in range(50):
            for batch in loader:
                model(batch).backward()
    """,
    """
    import numpy as np
    from torch.utils.data import DataLoader

    def main(dataset, model, args):
        init = lambda worker_id: np.random.seed(args.seed + worker_id)  # <- DLC401
        train_loader = DataLoader(dataset, num_workers=4, worker_init_fn=init)
        for epoch in range(10):
            for batch in train_loader:
                model(batch).backward()
    """,
    """
    import random
    from torch.utils.data import Dataset

    class Pairs(Dataset):
        def __init__(self, items):
            self.items = items
        def __getitem__(self, index):
            random.seed(1234)  # <- DLC401
            return self.items[index], random.choice(self.items)
    """,
    """
    import torch
    from torch.utils.data import DataLoader

    def main(dataset, model):
        loader = DataLoader(dataset, shuffle=True)
        for epoch in range(10):
            torch.manual_seed(0)  # <- DLC401
            for batch in loader:
                model(batch).backward()
    """,
    """
    import numpy as np
    import random
    import torch
    from torch.utils.data import DataLoader, IterableDataset

    class Normal(IterableDataset):
        def __iter__(self):
            generator = torch.Generator().manual_seed(0)  # <- DLC401
            for index in range(4000):
                yield torch.randn(32, generator=generator), index % 2

    class Uniform(IterableDataset):
        def __init__(self, seed=None):
            self.seed = seed
        def __iter__(self):
            rng = np.random.default_rng(self.seed)  # <- DLC401
            while True:
                yield rng.random(3)

    class Coins(IterableDataset):
        def __iter__(self):
            random.seed(1)  # <- DLC401
            for _ in range(10):
                yield random.random()

    def main():
        return [
            DataLoader(Normal(), 4, num_workers=2),
            DataLoader(Uniform(3), 4, num_workers=2),
            DataLoader(Coins(), 4, num_workers=2),
        ]
    """,
)

CLEAN = (
    """
    import torch
    from torch.utils.data import DataLoader

    def main(dataset, args):
        loader = DataLoader(dataset, 32, shuffle=True, num_workers=4)
        for epoch in range(args.epochs):
            torch.manual_seed(args.seed + epoch)
            for x in loader:
                x.sum().backward()

    def compare(dataset, args, models):
        loader = DataLoader(dataset, 32, shuffle=True, num_workers=4)
        for model in models:
            torch.manual_seed(args.seed)
            for x in loader:
                model(x).backward()
    """,
    """
    import random
    import torch
    from torch.utils.data import DataLoader

    class Masking:
        def __init__(self, share):
            self.share, self.draw = share, None

        def __call__(self, sentences):
            if self.draw is None:
                self.draw = random.Random(torch.initial_seed())
            return [[0 if self.draw.random() < self.share else word for word in s] for s in sentences]

    def build(train_set, other_set):
        plain = DataLoader(other_set, 8, shuffle=True, collate_fn=Drawing())
        return plain, DataLoader(train_set, 8, shuffle=True, num_workers=4, collate_fn=Masking(0.15))

    class Drawing:
        def __init__(self):
            self.draw = random.Random(0)

        def __call__(self, sentences):
            return self.draw.sample(sentences, 2)
    """,
    """
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Once(Dataset):
        def __init__(self, clips):
            self.clips = clips
            self.seeded = False
        def __getitem__(self, index):
            if not self.seeded:
                np.random.seed(torch.initial_seed() % 2**32)
                self.seeded = True
            return self.clips[index] + np.random.rand()

    class PerItem(Once):
        def __getitem__(self, index):
            np.random.seed((torch.initial_seed() + index) % 2**32)
            return self.clips[index] + np.random.rand()

    train_loader = DataLoader(Once([]), num_workers=4)
    """,
    """
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Synthetic(Dataset):
        def __init__(self, seed):
            self.seed = seed
        def restart(self):
            np.random.seed(self.seed)
        def __getitem__(self, index):
            if index == 0:
                self.restart()
            return np.random.rand(8)

    train_loader = DataLoader(Synthetic(1), num_workers=4)
    """,
    """
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Patches(Dataset):
        seeded = False
        def __getitem__(self, index):
            if not self.seeded:
                info = torch.utils.data.get_worker_info()
                np.random.seed(info.seed % 2**32)
                self.seeded = True
            return self.images[index][:, np.random.randint(64):]

    def seed_worker(worker):
        info = torch.utils.data.get_worker_info()
        np.random.seed(info.seed % 2**32)

    def main(images, model):
        loader = DataLoader(Patches(images), shuffle=True, num_workers=4, worker_init_fn=seed_worker)
        for epoch in range(50):
            for batch in loader:
                model(batch).backward()
    """,
    """
    import random
    import numpy as np
    from torch.utils.data import DataLoader, Dataset

    class Paired(Dataset):
        def __init__(self, items, transform):
            self.items = items
            self.transform = transform
        def __getitem__(self, index):
            seed = np.random.randint(2**31)
            random.seed(seed)
            image = self.transform(self.items[index])
            random.seed(seed)
            return image, self.transform(self.items[index])

    def init(worker_id):
        np.random.seed(np.random.get_state()[1][0] + worker_id)

    loader = DataLoader(Paired([], None), num_workers=4, worker_init_fn=init)
    """,
    """
    import numpy as np
    import random
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class SeededBySystem(IterableDataset):
        def __init__(self, seed=None):
            self.seed = seed
        def __iter__(self):
            rng = np.random.default_rng(self.seed)
            while True:
                yield rng.random(3)

    class OfWorker(IterableDataset):
        def __iter__(self):
            info = get_worker_info()
            rng = np.random.default_rng(3 if info is None else info.seed)
            while True:
                yield rng.random(3)

    class OfEpoch(IterableDataset):
        epoch = 0
        def __iter__(self):
            rng = random.Random(self.epoch)
            self.epoch += 1
            for _ in range(10):
                yield rng.random()

    class OneWorker(IterableDataset):
        def __iter__(self):
            rng = random.Random(0)
            for _ in range(10):
                yield rng.random()

    def main():
        return [
            DataLoader(SeededBySystem(), 4, num_workers=2),
            DataLoader(OfWorker(), 4, num_workers=2),
            DataLoader(OfEpoch(), 4, num_workers=2),
            DataLoader(OneWorker(), 4, num_workers=1),
        ]
    """,
)
