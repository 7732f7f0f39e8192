"""Code that runs in a worker starts processes.

Workers are daemonic processes, and Python does not let those have children: the first item ends with `AssertionError:
daemonic processes are not allowed to have children`. With 0 workers the same code runs, so that the fault shows only when
somebody turns workers on. Source: Python documentation of `multiprocessing.Process.daemon`; `torch/utils/data/dataloader.py`.

**Found:** a pool, a process, a `Manager` or a loader with workers of its own that is started in the item path, in a collate
function or in `worker_init_fn` of a loader with workers.

**Left alone:** threads; `subprocess`; `joblib`, which falls back to one process in a worker; code behind a check of
whether it runs in a worker; loaders that all have 0 workers.

**Cure:** let the loader have more workers in place of the pool, or use threads. **Versions:** all.
"""

from collections.abc import Iterator
from typing import TypeAlias

from dlcheck.facts.model import At, Attr
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.in_workers import WorkerPath, asks_for_workers, worker_calls, worker_paths
from dlcheck.program.program import Program
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.values import Made, Ref, SelfOf

# Where processes are started, what in words, and on which path.
_Found: TypeAlias = tuple[Scope, At, str, WorkerPath]
_PACKAGES = (
    "multiprocessing", "torch.multiprocessing", "multiprocess", "multiprocessing.get_context",
    "torch.multiprocessing.get_context", "multiprocess.get_context", "multiprocessing.pool", "torch.multiprocessing.pool",
    "multiprocessing.process", "multiprocessing.context",
)  # fmt: skip
_EXECUTORS = ("concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process.ProcessPoolExecutor")
# A process starts with `start()`, an executor's with the first thing that it is given to do.
_STARTS = {
    **{f"{package}.{name}": name for package in _PACKAGES for name in ("Pool", "Manager")},
    **{f"{package}.Process.start": "Process" for package in _PACKAGES},
    **{f"{name}.{method}": "ProcessPoolExecutor" for name in _EXECUTORS for method in ("submit", "map")},
    **{f"torch.multiprocessing.{name}": f"mp.{name}" for name in ("spawn", "start_processes")},
    **{f"pathos.{name}": name.rpartition(".")[2] for name in ("multiprocessing.Pool", "pools.ProcessPool")},
}
_PROCESSES = frozenset(f"{package}.Process" for package in _PACKAGES)


def check(program: Program) -> Iterator[Report]:
    for scope, at, what, way in (*_started(program), *_inner_loaders(program)):
        if way.loaders:
            sure = any(loader.workers == "some" for loader in way.loaders)
            yield Report(
                scope,
                at,
                f"{what} is started in a worker, and a worker may not start processes: `AssertionError: daemonic processes are "
                "not allowed to have children`. Use threads here, or let the loader have more workers instead",
                help="`concurrent.futures.ThreadPoolExecutor`, or do the work in turn and raise `num_workers`",
                confidence=None if sure else "medium" if way.certain else "low",
                also=((way.loaders[0].scope, way.loaders[0].at),),
            )


def _started(program: Program) -> Iterator[_Found]:
    for call, way in worker_calls(program):
        what = next((_STARTS[name] for name in call.names if name in _STARTS), "")
        if not what and _starts_own_process(program, call.site):
            what = "Process"
        if what:
            yield call.site.scope, _made_at(program, call.site), f"`{what}`", way


def _made_at(program: Program, site: CallSite) -> At:
    """Where the executor is made that starts processes for its first work."""
    if isinstance(site.call.func, Attr):
        for value in program.values(site.call.func.base, site.scope):
            if isinstance(value, Made) and value.what in _EXECUTORS and value.scope is site.scope:
                return value.call.at
    return site.call.at


def _starts_own_process(program: Program, site: CallSite) -> bool:
    """`start()` of a class of the project that derives from `Process`."""
    func = site.call.func
    if getattr(func, "attr", "") != "start":
        return False
    for value in program.values(func.base, site.scope):  # type: ignore[union-attr]
        cls = (
            value.what
            if isinstance(value, Made)
            else value.scope
            if isinstance(value, SelfOf | Ref)
            else None
        )
        if isinstance(cls, Scope) and cls.kind == "class" and program.evaluator.is_a(cls, _PROCESSES):
            return True
    return False


def _inner_loaders(program: Program) -> Iterator[_Found]:
    """Loops over a loader that has workers itself."""
    ways = {step.scope: way for way in worker_paths(program) for step in way.path.steps}
    for use in program.consumption.uses:
        if use.scope in ways and use.kind != "hook" and not asks_for_workers(use.block):
            way = ways[use.scope]
            inner = [loader for loader in use.loaders if loader not in way.loaders]
            if any(loader.workers == "some" for loader in inner):
                yield use.scope, use.at, "a `DataLoader` with workers", way


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

        def decode(path):
            return open(path, "rb").read()

        class Clips(Dataset):
            def __init__(self, clips):
                self.clips = clips
            def __getitem__(self, index):
                with Pool(4) as pool:  # <- DLC307
                    return pool.map(decode, self.clips[index])

        loader = DataLoader(Clips([["a", "b"]]), num_workers=2)
        """,
        """
        from concurrent.futures import ProcessPoolExecutor
        from torch.utils.data import DataLoader, Dataset

        class Pages(Dataset):
            def __init__(self, paths, render):
                self.paths = paths
                self.render = render
                self.pool = ProcessPoolExecutor(2)
            def __getitem__(self, index):
                return self.pool.submit(self.render, self.paths[index]).result()  # <- DLC307

        def loaders(paths, render, args):
            return DataLoader(Pages(paths, render), num_workers=args.workers)
        """,
        """
        import torch.multiprocessing as mp
        from torch.utils.data import DataLoader

        def pad(item):
            return item

        def collate(items):
            pool = mp.get_context("spawn").Pool(2)  # <- DLC307
            return pool.map(pad, items)

        def main(dataset):
            return DataLoader(dataset, num_workers=8, collate_fn=collate)
        """,
        """
        import multiprocessing as mp
        from torch.utils.data import DataLoader, IterableDataset

        def produce(queue):
            queue.put(1)

        class Stream(IterableDataset):
            def __iter__(self):
                queue = mp.Queue()
                process = mp.Process(target=produce, args=(queue,))
                process.start()  # <- DLC307
                while True:
                    yield queue.get()

        loader = DataLoader(Stream(), num_workers=1)
        """,
        """
        from torch.utils.data import DataLoader, Dataset

        class Retrieved(Dataset):
            def __init__(self, memory, queries):
                self.memory = memory
                self.queries = queries
            def __getitem__(self, index):
                found = []
                for batch in DataLoader(self.memory, batch_size=256, num_workers=2):  # <- DLC307
                    found.append(batch @ self.queries[index])
                return found

        def main(memory, queries):
            return DataLoader(Retrieved(memory, queries), num_workers=4)
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
    ),
    clean=(
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset

        def decode(path):
            return open(path, "rb").read()

        class Cached(Dataset):
            def __init__(self, paths):
                with Pool(4) as pool:
                    self.data = pool.map(decode, paths)
            def __getitem__(self, index):
                return self.data[index]

        loader = DataLoader(Cached(["a"]), num_workers=2)
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader, Dataset

        class Clips(Dataset):
            def __init__(self, clips, decode):
                self.clips = clips
                self.decode = decode
            def __getitem__(self, index):
                with ThreadPoolExecutor(4) as pool:
                    return list(pool.map(self.decode, self.clips[index]))

        def main(clips, decode):
            return DataLoader(Clips(clips, decode), num_workers=2)
        """,
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset

        class Inline(Dataset):
            def __init__(self, groups, decode):
                self.groups = groups
                self.decode = decode
            def __getitem__(self, index):
                with Pool(8) as pool:
                    return pool.map(self.decode, self.groups[index])

        def main(groups, decode):
            return DataLoader(Inline(groups, decode), batch_size=1, num_workers=0)
        """,
        """
        from multiprocessing import Pool
        from torch.utils.data import DataLoader, Dataset, get_worker_info

        class Either(Dataset):
            def __init__(self, groups, decode):
                self.groups = groups
                self.decode = decode
            def __getitem__(self, index):
                if get_worker_info() is None:
                    with Pool(8) as pool:
                        return pool.map(self.decode, self.groups[index])
                return [self.decode(x) for x in self.groups[index]]

        def main(groups, decode):
            return DataLoader(Either(groups, decode), num_workers=2)
        """,
        """
        import subprocess
        from joblib import Parallel, delayed
        from torch.utils.data import DataLoader, Dataset

        class Videos(Dataset):
            def __init__(self, paths, decode):
                self.paths = paths
                self.decode = decode
            def __getitem__(self, index):
                frames = subprocess.run(["ffmpeg", "-i", self.paths[index]], capture_output=True).stdout
                return Parallel(n_jobs=2)(delayed(self.decode)(frame) for frame in frames)

        def main(paths, decode):
            return DataLoader(Videos(paths, decode), num_workers=2)
        """,
    ),
)
