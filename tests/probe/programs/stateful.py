"""torchdata's StatefulDataLoader: inline, with workers, iterable, and resumed from its state."""

import json
import sys

import torch
from torch.utils.data import Dataset, IterableDataset
from torchdata.stateful_dataloader import StatefulDataLoader


class Squares(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return index * index


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(24))


def inline():
    return StatefulDataLoader(Squares(), batch_size=4, shuffle=True)


def workers():
    return StatefulDataLoader(Squares(), batch_size=4, num_workers=2, persistent_workers=True)


def iterable():
    return StatefulDataLoader(Stream(), batch_size=4, num_workers=2)


def spawned():
    return StatefulDataLoader(Squares(), batch_size=4, num_workers=1, multiprocessing_context="spawn")


def main():
    torch.manual_seed(3)
    for name in sys.argv[1:]:
        loader = globals()[name]()
        first = []
        for number, batch in enumerate(loader):
            first.append(batch.tolist())
            if number == 2:
                state = loader.state_dict()
        loader.load_state_dict(state)
        print(json.dumps([name, first, [batch.tolist() for batch in loader]]))


if __name__ == "__main__":
    main()
