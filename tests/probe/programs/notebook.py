"""The probe as a context manager: what it does to a process that runs already."""

import multiprocessing
import os
import sys

from torch.utils.data import DataLoader, Dataset, dataloader

import dlcheck


class Squares(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        return index * index


def state():
    classes = (dataloader._BaseDataLoaderIter, dataloader._MultiProcessingDataLoaderIter, DataLoader)
    return (
        [dict(vars(cls)) for cls in classes],
        dict(vars(dataloader._utils.worker)),
        dict(os.environ),
        list(sys.meta_path),
        list(sys.path),
        multiprocessing.process.BaseProcess.start,
    )



def block(folder):
    before = state()
    with dlcheck.probe(folder, stacks=False) as p:
        for context in ("fork", "spawn"):
            print(sum(int(b.sum()) for b in DataLoader(Squares(), 4, num_workers=2, multiprocessing_context=context)))
        print(p.report().to_dict()["exit_code"])
        with dlcheck.probe() as inner:
            print(inner.recording == p.recording)
    print(state() == before, multiprocessing.active_children())
    report = p.report()
    print(report.to_dict()["exit_code"], [loader["batches"] for loader in report.to_dict()["loaders"]])
    print("notebook.py" in str(report) and repr(report) == str(report))
    report.save_html(os.path.join(folder, "report.html"))
    print(len(list(DataLoader(Squares(), 4, num_workers=1))))


def persistent(folder):
    loader = DataLoader(Squares(), 4, num_workers=1, persistent_workers=True)
    print(len(list(loader)))
    with dlcheck.probe(folder, stacks=False) as p:
        print(len(list(loader)))
    print([note for note in p.report().to_dict()["notes"] if "persistent" in note])
    print(len(list(loader)))


def twice(folder):
    loader = DataLoader(Squares(), 4, num_workers=1, persistent_workers=True)
    for number in range(2):
        with dlcheck.probe(f"{folder}/{number}", stacks=False) as p:
            print(len(list(loader)), len(list(DataLoader(Squares(), 6))))
        print(sorted(loader["batches"] for loader in p.report().to_dict()["loaders"]))
    print(len(list(loader)))


def failing(folder):
    try:
        with dlcheck.probe(folder, stacks=False) as p:
            raise LookupError("of the user's own")
    except LookupError as error:
        print(error, p.report().to_dict()["exit_code"])


def killed(folder):
    with dlcheck.probe(folder, stacks=False):
        list(DataLoader(Squares(), 4))
        os.kill(os.getpid(), 9)


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2])
