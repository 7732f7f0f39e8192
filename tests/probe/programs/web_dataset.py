"""webdataset: shards on disk, read by torch's loader and by webdataset's own."""

import sys

import torch
import webdataset
from torch.utils.data import DataLoader


def write(directory):
    for shard in range(2):
        with webdataset.TarWriter(f"{directory}/shard-{shard}.tar") as sink:
            for index in range(12):
                number = shard * 12 + index
                sink.write({"__key__": f"{number:04}", "cls": number, "txt": "x" * number})


def dataset(directory):
    urls = [f"{directory}/shard-{shard}.tar" for shard in range(2)]
    return webdataset.WebDataset(urls, shardshuffle=False).decode().to_tuple("cls", "txt")


def plain(directory):
    return DataLoader(dataset(directory), batch_size=4, num_workers=2)


def own(directory):
    return webdataset.WebLoader(dataset(directory).batched(4), batch_size=None, num_workers=2).unbatched().batched(6)


def main(directory):
    write(directory)
    torch.manual_seed(3)
    for way in (plain, own):
        loader = way(directory)
        for _ in range(2):
            print(way.__name__, [sorted(numbers.tolist()) for numbers, _ in loader])
    print(torch.rand(1).item())


if __name__ == "__main__":
    main(sys.argv[1])
