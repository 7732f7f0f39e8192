"""The set-up of a dataset starts a thread that its items wait for, and a forked worker has no such thread.

A fork copies the memory of a process, and of its threads only the one that forks. A queue that a thread of the main process
fills stays empty in the worker; a pool of threads or processes that was used before takes the work and never does it; so the
first item waits for ever, with no error. Where workers are not forked, the thread or the pool cannot be pickled. Source: POSIX
`fork`; Python documentation of `os.fork` and `threading`; `concurrent/futures/thread.py`.

**Found:** a thread that the set-up starts while the item path waits for a queue, event or condition of the set-up; a
`Pool` or `ThreadPool` that the set-up makes, or a `ThreadPoolExecutor` that it uses, and that the item path uses; a
`Manager()` that is kept on `self`, which cannot be pickled (its proxies can).

**Left alone:** threads that the set-up joins; pools that it closes; an executor that nobody uses before the workers start (its
threads begin with the first work it gets); what is made in the item path or in `worker_init_fn`; loaders that all have 0
workers.

**Cure:** start the thread or pool at the first item of each worker: `if self._pool is None: self._pool = ...`.
**Versions:** all.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlcheck.facts.model import At, Attr, Call, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.items import attribute_of_self, short
from dlcheck.program.kept import Kept, kept_from_setup, maker, setup_steps, used_in_worker_init
from dlcheck.program.program import Dataset, Program
from dlcheck.program.scope import CallSite, Scope
from dlcheck.program.start_method import start_method
from dlcheck.program.values import Made, SelfOf

_MULTIPROCESSING = ("multiprocessing", "torch.multiprocessing", "multiprocessing.get_context")
# These have threads from the start.
_POOLS = frozenset(
    {"multiprocessing.pool.Pool", "multiprocessing.pool.ThreadPool", "multiprocessing.dummy.Pool"}
    | {f"{package}.Pool" for package in _MULTIPROCESSING}
)
# This one has them as soon as it is given something to do.
_EXECUTORS = frozenset(
    {"concurrent.futures.ThreadPoolExecutor", "concurrent.futures.thread.ThreadPoolExecutor"}
)
_MANAGERS = frozenset(f"{package}.Manager" for package in _MULTIPROCESSING)
_WORK = frozenset({"submit", "map", "apply", "apply_async", "imap", "imap_unordered", "starmap", "map_async"})
_THREADS = frozenset({"threading.Thread", "threading.Timer"})
# Methods that wait until a thread does something, by what they are called on.
_QUEUES = ("queue.Queue", "queue.LifoQueue", "queue.PriorityQueue", "queue.SimpleQueue")
_WAITS = {
    **dict.fromkeys(_QUEUES, ("get", "join")),
    "threading.Event": ("wait",),
    "threading.Condition": ("wait", "wait_for"),
    "threading.Semaphore": ("acquire",),
    "threading.Barrier": ("wait",),
}


def check(program: Program) -> Iterator[Report]:
    for dataset in program.datasets:
        if dataset.workers == "none":
            continue
        yield from _pools(program, dataset)
        yield from _threads(program, dataset)


def _pools(program: Program, dataset: Dataset) -> Iterator[Report]:
    """Pools and managers that the set-up makes and keeps."""
    for kept in kept_from_setup(dataset):
        made = next((name for name, _ in maker(kept.values) if name in _POOLS | _EXECUTORS | _MANAGERS), "")
        if (
            not made
            or kept.remade
            or kept.pickles_itself
            or _ended(kept)
            or used_in_worker_init(program, kept)
        ):
            continue
        if made in _MANAGERS:
            yield _manager(program, kept, made)
        elif (kept.reads and (made in _POOLS or _worked(kept))) or (made in _EXECUTORS and _awaited(kept)):
            yield Report(
                kept.scope,
                kept.at,
                f"`self.{kept.attr}` has its threads (`{short(made)}`) in the process that makes the dataset: a forked worker "
                "has none of them, and its first item waits for ever. Make it at the first item of each worker",
                help=f"`if self.{kept.attr} is None:` make it, where the items use it",
                also=kept.reads[:1],
            )


def _awaited(kept: Kept) -> bool:
    """The items wait for work that the set-up gave it: ``self.futures[i].result()``."""
    given = {
        store.attr
        for step in setup_steps(kept.dataset, kept.cls)
        for store in step.scope.stores
        for part in walk(store.value)
        if isinstance(part, Call) and isinstance(part.func, Attr) and part.func.attr in _WORK
        if attribute_of_self(part.func.base, step.scope) == kept.attr
    }
    return any(
        isinstance(site.call.func, Attr)
        and site.call.func.attr == "result"
        and any(attribute_of_self(part, step.scope) in given for part in walk(site.call.func.base))
        for step in kept.dataset.item_path.steps
        for site in step.scope.calls
    )


def _manager(program: Program, kept: Kept, made: str) -> Report:
    spawned = any(start_method(program, loader) != "fork" for loader in kept.dataset.loaders)
    where = "" if spawned else " where workers are not forked (macOS, Windows, Linux from Python 3.14)"
    return Report(
        kept.scope,
        kept.at,
        f"`self.{kept.attr}` (`{short(made)}`) cannot be pickled, so that workers do not start{where}. Keep the lists and dicts "
        "that it makes, which can be, and the manager outside of the dataset",
        severity="error" if spawned else "warning",
        help="make the manager where the loader is made, and hand `manager.dict()` to the dataset",
    )


def _ended(kept: Kept) -> bool:
    """The set-up closes it again."""
    return any(
        isinstance(site.call.func, Attr)
        and site.call.func.attr in ("close", "shutdown", "terminate")
        and attribute_of_self(site.call.func.base, site.scope) == kept.attr
        for site in _setup_calls(kept.dataset, kept.cls)
    ) or any(b.kind == "with" for b in (kept.block.chain() if kept.block is not None else ()))


def _worked(kept: Kept) -> bool:
    """The set-up gives it something to do."""
    return any(
        isinstance(site.call.func, Attr)
        and site.call.func.attr in _WORK
        and attribute_of_self(site.call.func.base, site.scope) == kept.attr
        for site in _setup_calls(kept.dataset, kept.cls)
    )


def _threads(program: Program, dataset: Dataset) -> Iterator[Report]:
    """Threads that the set-up starts, and that the items wait for."""
    for cls in dict.fromkeys(kept.cls for kept in kept_from_setup(dataset)):
        calls = _setup_calls(dataset, cls)
        starts = [site for site in calls if _is_thread(program, site, "start")]
        if not starts or any(_is_thread(program, site, "join") for site in calls):
            continue
        waiting = _waiting_place(program, dataset, cls)
        if waiting is not None:
            yield Report(
                starts[0].scope,
                starts[0].at,
                "this thread is started before the workers, and a forked worker does not have it: its items wait for it for "
                "ever. Start it at the first item of each worker",
                help="start the thread where the items first need it, or in `__iter__`",
                also=(waiting,),
            )


def _setup_calls(dataset: Dataset, cls: Scope) -> list[CallSite]:
    return [site for step in setup_steps(dataset, cls) for site in step.scope.calls]


def _is_thread(program: Program, site: CallSite, method: str) -> bool:
    """``start()`` or ``join()`` of a thread."""
    func = site.call.func
    if not isinstance(func, Attr) or func.attr != method:
        return False
    for value in program.values(func.base, site.scope):
        cls = value.what if isinstance(value, Made) else value.scope if isinstance(value, SelfOf) else None
        if cls in _THREADS or (isinstance(cls, Scope) and _derives(program, cls)):
            return True
    return False


def _derives(program: Program, cls: Scope) -> bool:
    return cls.kind == "class" and program.evaluator.is_a(cls, _THREADS)


def _waiting_place(program: Program, dataset: Dataset, cls: Scope) -> tuple[Scope, At] | None:
    """Where the item path waits for something that the set-up of a class made."""
    by_attr: dict[str, tuple[str, ...]] = {}
    for kept in kept_from_setup(dataset):
        if kept.cls is cls and not kept.remade and not kept.pickles_itself:
            if not used_in_worker_init(program, kept):
                for name, _ in maker(kept.values):
                    if name in _WAITS:
                        by_attr[kept.attr] = _WAITS[name]
    for call in dataset.calls:
        func = call.call.func
        if isinstance(func, Attr) and func.attr in by_attr.get(
            attribute_of_self(func.base, call.site.scope), ()
        ):
            return call.site.scope, call.call.at
        if isinstance(func, Attr) and isinstance(func.base, Attr):
            thread = attribute_of_self(func.base.base, call.site.scope)
            if thread in _kept_threads(program, dataset, cls):
                made = (name for name, _ in maker(program.values(func.base, call.site.scope)))
                if any(func.attr in _WAITS.get(name, ()) for name in made):
                    return call.site.scope, call.call.at
    return None


def _kept_threads(program: Program, dataset: Dataset, cls: Scope) -> set[str]:
    """The attributes that hold threads of the project since the set-up, each with a queue of its own perhaps."""
    return {
        kept.attr
        for kept in kept_from_setup(dataset)
        if kept.cls is cls and not kept.remade and not used_in_worker_init(program, kept)
        if any(
            isinstance(v, Made) and isinstance(v.what, Scope) and _derives(program, v.what)
            for v in kept.values
        )
    }


RULE = Rule(
    code="DLC308",
    name="thread-or-lock-before-fork",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import Dataset, DataLoader
        class D(Dataset):
            def __init__(self, p):
                self.p = p
                self.pool = ThreadPoolExecutor(8)  # <- DLC308
                self.futures = [self.pool.submit(open, x) for x in p]
            def __getitem__(self, i):
                return self.futures[i].result().read()
        def main(p): return DataLoader(D(p), num_workers=8)
        """,
        """
        import queue
        import threading
        from torch.utils.data import DataLoader, Dataset

        class Prefetched(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.ready = queue.Queue(maxsize=8)
                self.thread = threading.Thread(target=self._fill, daemon=True)
                self.thread.start()  # <- DLC308
            def _fill(self):
                for path in self.paths:
                    self.ready.put(open(path, "rb").read())
            def __len__(self):
                return len(self.paths)
            def __getitem__(self, index):
                return self.ready.get()

        loader = DataLoader(Prefetched(["a"]), num_workers=2)
        """,
        """
        from multiprocessing.pool import ThreadPool
        from torch.utils.data import DataLoader, Dataset

        class Views(Dataset):
            def __init__(self, scenes, read):
                self.scenes = scenes
                self.read = read
                self.pool = ThreadPool(8)  # <- DLC308
            def __getitem__(self, index):
                return self.pool.map(self.read, self.scenes[index])

        def main(scenes, read, workers):
            return DataLoader(Views(scenes, read), num_workers=workers)
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader, Dataset

        class Volumes(Dataset):
            def __init__(self, paths, read):
                self.paths = paths
                self.read = read
                self.pool = ThreadPoolExecutor(max_workers=4)  # <- DLC308
                self.headers = list(self.pool.map(read, paths))
            def __getitem__(self, index):
                return self.pool.submit(self.read, self.paths[index]).result()

        def main(paths, read):
            return DataLoader(Volumes(paths, read), num_workers=4)
        """,
        """
        import multiprocessing as mp
        from torch.utils.data import DataLoader, Dataset

        class Shared(Dataset):
            def __init__(self, size):
                self.size = size
                self.manager = mp.Manager()  # <- DLC308
                self.cache = self.manager.dict()
            def __len__(self):
                return self.size
            def __getitem__(self, index):
                if index not in self.cache:
                    self.cache[index] = index ** 2
                return self.cache[index]

        loader = DataLoader(Shared(10), num_workers=2)
        """,
    ),
    clean=(
        """
        import queue
        import threading
        from torch.utils.data import DataLoader, IterableDataset

        class Prefetched(IterableDataset):
            def __init__(self, paths):
                self.paths = paths
            def __iter__(self):
                ready = queue.Queue(maxsize=8)
                def fill():
                    for path in self.paths:
                        ready.put(path)
                    ready.put(None)
                threading.Thread(target=fill, daemon=True).start()
                while (item := ready.get()) is not None:
                    yield item

        loader = DataLoader(Prefetched(["a"]), num_workers=2)
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader, Dataset

        class Volumes(Dataset):
            def __init__(self, paths, read):
                self.paths = paths
                self.read = read
                with ThreadPoolExecutor(4) as pool:
                    self.headers = list(pool.map(read, paths))
                self.pool = ThreadPoolExecutor(2)
            def __getitem__(self, index):
                return self.pool.submit(self.read, self.paths[index]).result()

        def main(paths, read):
            return DataLoader(Volumes(paths, read), num_workers=4)
        """,
        """
        from multiprocessing.pool import ThreadPool
        from torch.utils.data import DataLoader, Dataset

        class Views(Dataset):
            def __init__(self, scenes, read):
                self.scenes = scenes
                self.read = read
                self.pool = None
            def __getitem__(self, index):
                if self.pool is None:
                    self.pool = ThreadPool(8)
                return self.pool.map(self.read, self.scenes[index])

        def main(scenes, read):
            return DataLoader(Views(scenes, read), num_workers=4)
        """,
        """
        import threading
        from torch.utils.data import DataLoader, Dataset

        class Loaded(Dataset):
            def __init__(self, paths):
                self.paths = paths
                self.done = threading.Event()
                self.data = {}
                thread = threading.Thread(target=self._load)
                thread.start()
                thread.join()
            def _load(self):
                for path in self.paths:
                    self.data[path] = open(path, "rb").read()
                self.done.set()
            def __getitem__(self, index):
                self.done.wait()
                return self.data[self.paths[index]]

        loader = DataLoader(Loaded(["a"]), num_workers=2)
        """,
    ),
)
