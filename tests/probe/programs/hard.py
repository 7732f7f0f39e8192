"""Programs that are hard on a probe. Each prints what it computes."""

import ctypes
import os
import shutil
import signal
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data import dataloader as torch_loader

NOT_DUMPABLE = (4, 0)  # PR_SET_DUMPABLE of linux/prctl.h


class Numbers(Dataset):
    def __init__(self, length=24, pause_s=0.0):
        self.length, self.pause_s = length, pause_s

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if self.pause_s:
            time.sleep(self.pause_s)
        return torch.tensor([index])


class Hangs(Numbers):
    def __getitem__(self, index):
        if index == 9:
            time.sleep(600)
        return super().__getitem__(index)


def total(loader):
    return sum(int(batch.sum()) for batch in loader)


def recording():
    return os.environ.get("DLCHECK_RECORDING")


def fills_the_disk():
    """Others fill the disk of the recording when the first epoch is over."""
    for epoch in range(4):
        print(total(DataLoader(Numbers(400), batch_size=1, num_workers=2)))
        if recording() and not epoch:
            file = os.open(os.path.join(recording(), "others"), os.O_WRONLY | os.O_CREAT)
            try:
                while os.write(file, bytes(4096)):
                    pass
            except OSError:
                os.close(file)


def removes_the_folder():
    for epoch in range(3):
        for number, batch in enumerate(DataLoader(Numbers(200), batch_size=4, num_workers=2)):
            if recording() and epoch == 1 and number == 5:
                shutil.rmtree(recording())
                time.sleep(1)
        print(epoch, batch)


def epochs(kind, count):
    ways = {
        "inline": {},
        "persistent": {"num_workers": 1, "persistent_workers": True},
        "restarted": {"num_workers": 1},
    }
    loader = DataLoader(Numbers(8), batch_size=4, **ways[kind])
    total(loader)
    before = len(os.listdir("/proc/self/fd"))
    print(sum(total(loader) for _ in range(int(count))))
    print(len(os.listdir("/proc/self/fd")) - before < 32)


def many_batches(count):
    """As a run of days, by recording only some of what fits else."""
    events = sys.modules.get("dlcheck.probe.eventfile")
    if events is not None:
        events.MAX_PAGES = 64
    total(DataLoader(Numbers(int(count) // 4), batch_size=1))
    before = resident_bytes()
    print(total(DataLoader(Numbers(int(count)), batch_size=1)), resident_bytes() - before < 8_000_000)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def many_workers():
    print(total(DataLoader(Numbers(128), batch_size=2, num_workers=64)))


def daemon(done):
    """Goes on in a process of its own when the command has ended."""
    total(DataLoader(Numbers(), batch_size=4))
    print("goes on", flush=True)
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    while not os.path.exists(done + ".go"):
        time.sleep(0.05)
    with open(done + ".part", "w") as file:
        file.write(str(total(DataLoader(Numbers(), batch_size=4, num_workers=2))))
    os.rename(done + ".part", done)


def forks():
    """Loads in children of its own, by the parent's loader and by loaders of theirs."""
    loader = DataLoader(Numbers(), batch_size=4, num_workers=1)
    print(total(loader), flush=True)
    for _ in range(2):
        child = os.fork()
        if not child:
            print(total(loader), total(DataLoader(Numbers(), batch_size=8)), flush=True)
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    print(total(loader))


class Doubled(torch_loader._MultiProcessingDataLoaderIter):
    def __next__(self):
        return super().__next__() * 2


class Doubling(DataLoader):
    def _get_iterator(self):
        return Doubled(self)


def own_loop(dataset_kind, dataset, index_queue, data_queue, done_event, auto_collation, collate_fn, *rest):
    """A worker loop without torch's fetcher."""
    torch.set_num_threads(1)
    while (item := index_queue.get()) is not None:
        idx, indices = item
        data_queue.put((idx, collate_fn([dataset[index] for index in indices])))
    data_queue.cancel_join_thread()
    data_queue.close()


def around_iter(before):
    def __iter__(self):
        for batch in before(self):
            yield batch + 1

    return __iter__


def around_loop(before):
    return lambda *args, **kwargs: before(*args, **kwargs)


def replaces():
    """Puts parts of its own in the place of torch's."""
    own_iterator = Doubling(Numbers(), batch_size=4, num_workers=2)
    print(total(own_iterator))
    worker, before = torch_loader._utils.worker, torch_loader._utils.worker._worker_loop
    worker._worker_loop = around_loop(before)
    wrapped_loop = DataLoader(Numbers(pause_s=0.01), batch_size=4, num_workers=2)
    print(total(wrapped_loop))
    worker._worker_loop = own_loop
    loop_forked = DataLoader(Numbers(pause_s=0.01), batch_size=4, num_workers=2)
    print(total(loop_forked))
    loop_spawned = DataLoader(
        Numbers(pause_s=0.01), batch_size=4, num_workers=1, multiprocessing_context="spawn"
    )
    print(total(loop_spawned))
    worker._worker_loop = before
    DataLoader.__iter__ = around_iter(DataLoader.__iter__)
    patched_iter = DataLoader(Numbers(), batch_size=4, num_workers=2)
    print(total(patched_iter))
    patched_inline = DataLoader(Numbers(), batch_size=4)
    print(total(patched_inline))


def hangs():
    print("begins", flush=True)
    total(DataLoader(Hangs(), batch_size=4, num_workers=2))


def dies_forking():
    """Killed before anybody hears of its worker, which takes whoever adopts it for its parent."""
    os.register_at_fork(
        after_in_parent=lambda: time.sleep(60),
        after_in_child=lambda: os.kill(os.getppid(), signal.SIGKILL),
    )
    total(DataLoader(Numbers(100, 0.01), batch_size=4, num_workers=1))


def unreadable():
    """What py-spy may not read, unless it has the right to trace everything."""
    ctypes.CDLL(None).prctl(*NOT_DUMPABLE, 0, 0, 0)
    print(sum(total(DataLoader(Numbers(100, 0.02), batch_size=4, num_workers=2)) for _ in range(3)))


def slow(epochs):
    print(sum(total(DataLoader(Numbers(100, 0.01), batch_size=4, num_workers=2)) for _ in range(int(epochs))))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
