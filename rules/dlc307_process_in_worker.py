"""Code that runs in workers starts processes of its own.

Workers are daemonic processes, and those may not have children: `AssertionError: daemonic processes are not allowed to have
children`. Source: Python documentation, `multiprocessing.Process.daemon`; `torch/utils/data/dataloader.py` (`w.daemon = True`).

**Found:** a process, a process pool, or a `DataLoader` with workers that is made in the item path, in a collate function or in
a `worker_init_fn`, for loaders that may have workers.

**Left alone:** loaders without workers; threads; `subprocess`; what stands behind a check of `get_worker_info()`.

**Cure:** more workers instead of processes in a worker, or threads where the work releases the interpreter. **Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.in_workers import worker_calls
from dlcheck.program.items import short
from dlcheck.program.program import Program

_STARTS = frozenset(
    {
        "concurrent.futures.ProcessPoolExecutor",
        "concurrent.futures.process.ProcessPoolExecutor",
        "multiprocessing.pool.Pool",
        "torch.multiprocessing.spawn",
        "torch.multiprocessing.start_processes",
    }
    | {
        f"{module}.{name}"
        for module in ("multiprocessing", "torch.multiprocessing")
        for name in ("Pool", "Process", "Manager")
    }
)


def check(program: Program) -> Iterator[Report]:
    inner = {id(loader.call): loader for loader in program.loaders}
    for call, way in worker_calls(program):
        if not way.loaders:
            continue
        name = next((n for n in call.names if n in _STARTS), "")
        loader = inner.get(id(call.call))
        if not name and (loader is None or loader.workers != "some"):
            continue
        what = f"`{short(name)}`" if name else "a loader with workers"
        yield Report(
            call.step.scope,
            call.call.at,
            f"{what} is made in the workers, which may not start processes: `AssertionError: daemonic processes are not allowed "
            "to have children`. Give the loader more workers instead",
            help="raise `num_workers`, or use threads (`ThreadPoolExecutor`) made at the first item of each worker",
            confidence=None if any(x.workers == "some" for x in way.loaders) else "medium",
            also=((way.loaders[0].scope, way.loaders[0].at),),
        )


RULE = Rule(
    code="DLC307",
    name="process-in-worker",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __getitem__(self, index):
                with Pool(4) as pool:  # <- DLC307
                    return pool.map(len, [str(index)])

        loader = DataLoader(Clips(), num_workers=2)
        """,
        """
        # file: decode.py
        from concurrent.futures import ProcessPoolExecutor

        def decode(paths):
            executor = ProcessPoolExecutor(2)  # <- DLC307
            return list(executor.map(open, paths))
        # file: data.py
        from torch.utils.data import DataLoader, Dataset
        from decode import decode

        class Frames(Dataset):
            def __init__(self, clips):
                self.clips = clips
            def __getitem__(self, index):
                return decode(self.clips[index])

        def loader(clips, workers):
            return DataLoader(Frames(clips), num_workers=workers)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Episodes(Dataset):
            def __init__(self, inner):
                self.inner = inner
            def __getitem__(self, index):
                return next(iter(DataLoader(self.inner, num_workers=2)))  # <- DLC307

        loader = DataLoader(Episodes([1, 2]), num_workers=4)
        """,
        """
        import torch.multiprocessing as mp
        from torch.utils.data import DataLoader

        def collate(items):
            process = mp.Process(target=print, args=(items,))  # <- DLC307
            process.start()
            return items

        loader = DataLoader([1, 2, 3], num_workers=1, collate_fn=collate)
        """,
    ),
    clean=(
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __getitem__(self, index):
                with Pool(4) as pool:
                    return pool.map(len, [str(index)])

        loader = DataLoader(Clips())
        """,
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __init__(self, paths):
                with Pool(4) as pool:
                    self.sizes = pool.map(len, paths)
            def __getitem__(self, index):
                return self.sizes[index]

        loader = DataLoader(Clips([]), num_workers=2)
        """,
        """
        import subprocess
        from multiprocessing.pool import ThreadPool
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __getitem__(self, index):
                with ThreadPool(4) as pool:
                    pool.map(len, [str(index)])
                return subprocess.run(["ffmpeg", str(index)], capture_output=True).stdout

        loader = DataLoader(Clips(), num_workers=2)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Episodes(Dataset):
            def __init__(self, inner):
                self.inner = inner
            def __getitem__(self, index):
                return next(iter(DataLoader(self.inner, num_workers=0)))

        loader = DataLoader(Episodes([1, 2]), num_workers=4)
        """,
    ),
)
