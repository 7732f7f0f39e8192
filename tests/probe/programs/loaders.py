"""Every way of loading data with torch, one function each. Prints what each of them yields."""

import random
import sys
import threading
import warnings

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    get_worker_info,
)

LENGTH = 24


class Squares(Dataset):
    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return index * index, random.randrange(1000), torch.rand(2)


class Fetched(Squares):
    def __getitems__(self, indices):
        return [self[index] for index in indices]


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, LENGTH, step))


class Wrapped(DataLoader):
    def __iter__(self):
        for batch in super().__iter__():
            yield batch, "wrapped"


def init(worker):
    random.seed(worker)


def collate(samples):
    return [list(part) for part in zip(*samples)]


def show(name, batches):
    print(name, [repr(batch) for batch in batches])


def inline():
    show("inline", DataLoader(Squares(), batch_size=4, shuffle=True))


def workers():
    show("workers", DataLoader(Squares(), batch_size=4, shuffle=True, num_workers=2, worker_init_fn=init))


def iterable_inline():
    show("iterable_inline", DataLoader(Stream(), batch_size=4))


def iterable_workers():
    show("iterable_workers", DataLoader(Stream(), batch_size=4, num_workers=2))


def unbatched():
    show("unbatched", DataLoader(Squares(), batch_size=None, num_workers=2))


def unbatched_iterable():
    show("unbatched_iterable", DataLoader(Stream(), batch_size=None, num_workers=2))


def fetched():
    show("fetched", DataLoader(Fetched(), batch_size=4, num_workers=2, collate_fn=collate))


def batch_sampler():
    sampler = BatchSampler(SequentialSampler(range(LENGTH)), 6, drop_last=False)
    show("batch_sampler", DataLoader(Squares(), batch_sampler=sampler, num_workers=2))


def persistent():
    loader = DataLoader(Squares(), batch_size=4, num_workers=2, persistent_workers=True)
    show("persistent", [batch for _ in range(3) for batch in loader])


def out_of_order():
    loader = DataLoader(Squares(), batch_size=4, num_workers=2, in_order=False, prefetch_factor=3)
    show("out_of_order", sorted(batch[0].tolist() for batch in loader))


def overriding():
    show("overriding", Wrapped(Squares(), batch_size=4, num_workers=2))


def several_iterators():
    loader = DataLoader(Squares(), batch_size=4, num_workers=1)
    show("several_iterators", list(zip(loader, loader)))


def nested():
    outer, inner = DataLoader(Squares(), batch_size=12), DataLoader(Stream(), batch_size=8)
    show("nested", [(batch, list(inner)) for batch in outer])


def abandoned():
    for batch in DataLoader(Squares(), batch_size=4, num_workers=2):
        show("abandoned", [batch])
        break


def in_thread():
    loader = DataLoader(Squares(), batch_size=4, num_workers=2)
    batches = []
    thread = threading.Thread(target=lambda: batches.extend(loader))
    thread.start()
    thread.join()
    show("in_thread", batches)


def spawned():
    show("spawned", DataLoader(Squares(), batch_size=4, num_workers=1, multiprocessing_context="spawn"))


def forkserver():
    show("forkserver", DataLoader(Squares(), batch_size=4, num_workers=1, multiprocessing_context="forkserver"))


def warned():
    class TooLong(IterableDataset):
        def __len__(self):
            return 2

        def __iter__(self):
            return iter(range(4))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loader = DataLoader(TooLong(), batch_size=1)
        len(loader)
        show("warned", loader)
    print([(str(w.message)[:40], w.category.__name__, w.filename, w.lineno) for w in caught])


def main():
    torch.manual_seed(7)
    random.seed(7)
    for name in sys.argv[1:]:
        globals()[name]()
    print(random.random(), torch.rand(1).item(), sys.path[0] == sys.path[0], __name__, sys.argv[1:])


if __name__ == "__main__":
    main()
