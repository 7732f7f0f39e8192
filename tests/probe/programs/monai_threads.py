"""MONAI: its DataLoader with a cache, and its ThreadDataLoader, which iterates in a background thread."""

import warnings

import torch

warnings.simplefilter("ignore")
from monai.data import CacheDataset, DataLoader, Dataset, ThreadDataLoader  # noqa: E402
from monai.transforms import Compose, RandGaussianNoised, ScaleIntensityd  # noqa: E402
from monai.utils import set_determinism  # noqa: E402

ITEMS = [{"image": torch.full((1, 4, 4), float(n))} for n in range(24)]


def transform():
    steps = [ScaleIntensityd("image", minv=None, maxv=None, factor=0.5), RandGaussianNoised("image", prob=0.5)]
    return Compose(steps)


def cached():
    return DataLoader(CacheDataset(ITEMS, transform(), progress=False), batch_size=4, num_workers=2, shuffle=True)


def threaded():
    return ThreadDataLoader(Dataset(ITEMS, transform()), batch_size=4, num_workers=2, buffer_size=2)


def threads_only():
    return ThreadDataLoader(Dataset(ITEMS, transform()), batch_size=4, num_workers=0, repeats=2)


def main():
    set_determinism(3)
    for way in (cached, threaded, threads_only):
        loader = way()
        for _ in range(2):
            print(way.__name__, [round(batch["image"].sum().item(), 3) for batch in loader])
    print(torch.rand(1).item())


if __name__ == "__main__":
    main()
