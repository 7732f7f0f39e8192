"""Loaders that fail, each in its own way."""

import os
import signal
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset


class Fails(Dataset):
    def __init__(self, way):
        self.way = way

    def __len__(self):
        return 32

    def __getitem__(self, index):
        time.sleep(0.001)
        if index == 21:
            getattr(self, self.way)()
        return torch.zeros(2)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self):
        os._exit(3)

    def fail(self):
        raise KeyError("no such image")

    def hang(self):
        time.sleep(600)

    def fine(self):
        pass


class Broken(IterableDataset):
    def __iter__(self):
        yield 1
        raise ValueError("stream is broken")


def unpicklable(samples):
    return lambda: samples


def bad_init(worker):
    raise OSError("cannot open the index")


def main(way, workers):
    kwargs = {"num_workers": int(workers)}
    if way == "unpicklable":
        loader = DataLoader(Fails("fine"), batch_size=4, collate_fn=unpicklable, **kwargs)
    elif way == "stream":
        loader = DataLoader(Broken(), batch_size=2, **kwargs)
    elif way == "init":
        loader = DataLoader(Fails("fine"), worker_init_fn=bad_init, **kwargs)
    elif way == "timeout":
        loader = DataLoader(Fails("hang"), batch_size=4, timeout=2, **kwargs)
    elif way == "interrupted":
        loader = DataLoader(Fails("fine"), batch_size=4, **kwargs)
        try:
            print(len(list(loader)), flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(7)
    else:
        loader = DataLoader(Fails(way), batch_size=4, **kwargs)
    for number, _ in enumerate(loader):
        print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
