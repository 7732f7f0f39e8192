"""Several threads iterate over one loader, or over one iterator of it.

What happens depends on what they share. One *iterator* is not made for two threads: both ask for the next batch at once, and
one of them waits for ever. A loader with `persistent_workers=True` has only one iterator, which each new `for` loop resets
under the feet of the others: `KeyError`, samples lost. And a plain loader starts a set of workers, and a full epoch, for each
thread: every sample is loaded once per thread. Source: `torch/utils/data/dataloader.py`; Python documentation, *Generator
already executing*.

**Found:** a loader that is built outside and iterated in a function that several threads run: a `Thread` target started in a
loop or at several places, `executor.submit` or `asyncio.to_thread` called more than once, `executor.map`, a `Thread`
subclass; or in a thread and, before it is joined, in the function that started it, or in what that calls.

**Left alone:** one thread that is the only consumer (prefetching through a queue); a loader that each thread builds, or gets,
for itself; `next` under a lock, also that of a wrapper; threads that are joined, or whose batches are used up, before the next
is started.

**Versions:** all of torch 2.x.
"""

from collections.abc import Iterable, Iterator

from dlcheck.facts.model import At, Attr, Call, Expr, Name, dotted, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.loaders import Loader
from dlcheck.program.paths import setup_path
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.threads import ThreadStart, thread_starts
from dlcheck.program.uses import Use
from dlcheck.program.values import Known, Made, Ref, Value, may_be

_WAITS = frozenset({"join", "result", "shutdown"})


def check(program: Program) -> Iterator[Report]:
    if not program.loaders:
        return
    starts = thread_starts(program)
    in_threads = {scope for start in starts for scope in start.runs}
    consumers: dict[Loader, list[tuple[ThreadStart, Use]]] = {}
    for start in starts:
        for use in program.consumption.uses:
            if use.scope in start.runs and use.kind != "hook" and not _locked(program, use):
                for loader in use.loaders:
                    if loader.scope not in start.runs and not _own(program, start, use, loader):
                        consumers.setdefault(loader, []).append((start, use))
    for loader, found in consumers.items():
        start, use = found[0]
        others = [other for other, _ in found if other is not start and not _waited_between(start, other)]
        flow = [
            u
            for u in program.uses_of[loader]
            if u.scope not in in_threads and _meanwhile(program, start, loader, u)
        ]
        if start.many or others or flow:
            yield _report(
                program, loader, start, use, flow[0] if flow and not (start.many or others) else None
            )


def _report(program: Program, loader: Loader, start: ThreadStart, use: Use, flow: Use | None) -> Report:
    who = "a thread and the loop that started it" if flow is not None else "several threads"
    if _shares_iterator(program, start, use):
        harm = f"{who} share one iterator of this loader: one of them waits for ever, or raises `ValueError`"
    elif may_be(loader.arg("persistent_workers"), True) and any(
        isinstance(v, Known) for v in loader.arg("persistent_workers")
    ):
        harm = (
            f"{who} iterate over one loader with `persistent_workers=True`: it has one iterator, which they reset for each "
            "other, so that samples are lost or `KeyError` is raised"
        )
    else:
        harm = (
            f"{who} iterate over this loader: each goes through the whole data set, with workers of its own"
        )
    return Report(
        start.site.scope,
        start.site.at,
        f"{harm}. Let one thread iterate and hand the batches on through a `queue.Queue`",
        help="one consumer and a `queue.Queue`, or a loader (and a share of the data) for each thread",
        also=((use.scope, use.at), (loader.scope, loader.at)),
    )


def _locked(program: Program, use: Use) -> bool:
    """``next`` is called while a lock is held, here or by the wrapper that is iterated."""
    around = tuple(use.block.chain()) if use.block is not None else ()
    return _holds_lock(use.scope, around) or any(
        _holds_lock(method, method.blocks)
        for expr in _iterated(use)
        for value in program.values(expr, use.scope)
        if isinstance(value, Made) and isinstance(value.what, Scope) and value.what.kind == "class"
        if (method := program.evaluator.method(value.what, "__next__")) is not None
    )


def _holds_lock(scope: Scope, around: Iterable[Block]) -> bool:
    held = (
        dotted(e).lower() or dotted(getattr(e, "func", e)).lower()
        for b in around
        if b.kind == "with"
        for e, _ in b.node.items
    )
    taken = any(isinstance(site.call.func, Attr) and site.call.func.attr == "acquire" for site in scope.calls)
    return taken or any(word in name for name in held for word in ("lock", "mutex", "sem", "cond"))


def _own(program: Program, start: ThreadStart, use: Use, loader: Loader) -> bool:
    """Each thread gets a loader of its own: built by itself or in the loop that starts the threads, or chosen for each."""
    if any(
        loader.scope in _set_up(program, value) for value in program.values(start.call.func, start.site.scope)
    ):
        return True
    if start.loop is None:
        return False
    if loader.site.block is not None and start.loop in loader.site.block.chain():
        return True
    bound = {
        name
        for name, bindings in start.site.scope.bindings.items()
        if any(b.block is not None and start.loop in b.block.chain() for b in bindings)
        or any(b.kind == "for" and b.node is start.loop.node for b in bindings)
    }
    for arg in (*start.call.args, *(value for _, value in start.call.keywords)):
        if loader in program.consumption.loaders_in(arg, start.site.scope):
            parts = list(walk(arg))
            if any(isinstance(p, Name) and p.id in bound for p in parts) or any(map(_makes, parts)):
                return True
    return False


def _set_up(program: Program, value: Value) -> set[Scope]:
    """What runs when a ``Thread`` of the project is made."""
    if not isinstance(value, Ref) or value.scope.kind != "class":
        return set()
    return {step.scope for step in setup_path(program.evaluator, value.scope).steps}


def _makes(expr: Expr) -> bool:
    return isinstance(expr, Call) and dotted(expr.func) != "iter"


def _shares_iterator(program: Program, start: ThreadStart, use: Use) -> bool:
    """What is iterated is an iterator that was made before the thread."""
    return any(
        isinstance(value, Made) and value.what == "builtins.iter" and value.scope not in start.runs
        for expr in _iterated(use)
        for value in program.values(expr, use.scope)
    )


def _iterated(use: Use) -> list[Expr]:
    """What a use takes its batches from."""
    if use.kind == "next":
        return [s.call.args[0] for s in use.scope.calls if s.at == use.at and s.call.args]
    return [loop.iterable for loop in use.scope.loops if loop.at == use.at and loop.iterable is not None]


def _waited_between(one: ThreadStart, other: ThreadStart) -> bool:
    """The threads of two places do not run at the same time, or that is not seen."""
    if one.site.scope is not other.site.scope:
        return True
    first, second = sorted((one.site.at, other.site.at))
    return _waits(one.site.scope, first, second)


def _meanwhile(program: Program, start: ThreadStart, loader: Loader, use: Use) -> bool:
    """The function that started the thread iterates too, itself or by a call, before it waits for the thread to end."""
    scope = start.site.scope
    if use.kind == "hook":
        return False
    if use.scope is scope:
        if start.loop is not None and use.block is not None and start.loop in use.block.chain():
            return False
        after = use.at[:2] >= start.site.at[:2]
        return after and not _waits(scope, start.site.at, use.at) and not _pool_ended(start, use.block)
    return any(
        site.at[:2] > start.site.at[2:]
        and not _waits(scope, start.site.at, site.at)
        and not _pool_ended(start, site.block)
        and _reaches(program, site, loader, use)
        for site in scope.calls
    )


def _pool_ended(start: ThreadStart, block: Block | None) -> bool:
    """The place is behind the ``with`` of the thread's pool, whose end waits for the thread."""
    func, inside = start.site.call.func, set(block.chain()) if block is not None else set()
    return isinstance(func, Attr) and any(
        around.kind == "with"
        and around not in inside
        and any(bound is not None and dotted(bound) == dotted(func.base) for _, bound in around.node.items)
        for around in (start.site.block.chain() if start.site.block is not None else ())
    )


def _reaches(program: Program, site: CallSite, loader: Loader, use: Use) -> bool:
    """A call runs the loop, over a loader that it does not build anew."""
    for value in program.values(site.call.func, site.scope):
        if isinstance(value, Ref) and value.scope.kind == "function":
            run = [step.scope for step in program.function_path(value.scope).steps]
            if use.scope in run and loader.scope not in run:
                return True
    return False


def _waits(scope: Scope, first: At, second: At) -> bool:
    return any(
        isinstance(site.call.func, Attr) and site.call.func.attr in _WAITS and first < site.at < second
        for site in scope.calls
    )


RULE = Rule(
    code="DLC301",
    name="loader-shared-across-threads",
    severity="error",
    check=check,
    page=__doc__ or "",
    found=(
        """
        import threading
        from torch.utils.data import DataLoader

        def consume(loader, model):
            for batch in loader:
                model(batch)

        def main(dataset, model):
            loader = DataLoader(dataset, batch_size=8, num_workers=2)
            threads = []
            for _ in range(4):
                t = threading.Thread(target=consume, args=(loader, model))  # <- DLC301
                t.start()
                threads.append(t)
            for t in threads:
                t.join()
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader

        class Evaluator:
            def __init__(self, dataset, models):
                self.loader = DataLoader(dataset, batch_size=8, num_workers=2, persistent_workers=True)
                self.models = models

            def evaluate(self, model):
                return sum(model(x) for x in self.loader)

            def run(self):
                with ThreadPoolExecutor(max_workers=4) as pool:
                    return list(pool.map(self.evaluate, self.models))  # <- DLC301
        """,
        """
        from threading import Thread
        from torch.utils.data import DataLoader

        def main(dataset, queue):
            batches = iter(DataLoader(dataset, num_workers=4))

            def work():
                while True:
                    batch = next(batches, None)
                    if batch is None:
                        return
                    queue.put(batch.sum())

            workers = [Thread(target=work) for _ in range(2)]  # <- DLC301
            for worker in workers:
                worker.start()
        """,
        """
        # file: feed.py
        import threading

        class Feeder(threading.Thread):
            def __init__(self, loader, out):
                super().__init__(daemon=True)
                self.loader = loader
                self.out = out
            def run(self):
                for batch in self.loader:
                    self.out.put(batch)
        # file: train.py
        from queue import Queue
        from torch.utils.data import DataLoader
        from feed import Feeder

        def main(dataset):
            loader = DataLoader(dataset, num_workers=2)
            out = Queue(8)
            feeders = [Feeder(loader, out) for _ in range(3)]  # <- DLC301
            for feeder in feeders:
                feeder.start()
        """,
        """
        from threading import Thread
        from torch.utils.data import DataLoader

        def log_statistics(loader, log):
            for x, y in loader:
                log(x.mean())

        def main(dataset, model, log):
            loader = DataLoader(dataset, num_workers=2, persistent_workers=True)
            watcher = Thread(target=log_statistics, args=(loader, log))  # <- DLC301
            watcher.start()
            for x, y in loader:
                model(x).backward()
            watcher.join()
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        from torch.utils.data import DataLoader

        def score(model, loader):
            return [model(x) for x in loader]

        def main(dataset, first, second):
            loader = DataLoader(dataset, batch_size=4)
            pool = ThreadPoolExecutor(2)
            a = pool.submit(score, first, loader)  # <- DLC301
            b = pool.submit(score, second, loader)
            return a.result(), b.result()
        """,
    ),
    clean=(
        """
        import asyncio
        from torch.utils.data import DataLoader

        def count(loader):
            return sum(len(x) for x in loader)

        async def main(dataset, model):
            loader = DataLoader(dataset, num_workers=2)
            print(await asyncio.to_thread(count, loader))
            print(await asyncio.wait_for(asyncio.to_thread(count, loader), 60))
            for batch in loader:
                model(batch)
        """,
        """
        import threading
        from queue import Queue
        from torch.utils.data import DataLoader

        def prefetch(loader, queue):
            for batch in loader:
                queue.put(batch.cuda())
            queue.put(None)

        def main(dataset, model):
            loader = DataLoader(dataset, num_workers=2)
            queue = Queue(4)
            threading.Thread(target=prefetch, args=(loader, queue), daemon=True).start()
            while (batch := queue.get()) is not None:
                model(batch)
        """,
        """
        import threading
        from torch.utils.data import DataLoader

        def consume(loader):
            for batch in loader:
                print(batch)

        def main(shards):
            loaders = [DataLoader(shard, num_workers=1) for shard in shards]
            threads = [threading.Thread(target=consume, args=(loader,)) for loader in loaders]
            for thread in threads:
                thread.start()
        """,
        """
        import threading
        from torch.utils.data import DataLoader

        lock = threading.Lock()

        def main(dataset, out):
            batches = iter(DataLoader(dataset, num_workers=4))
            def work():
                while True:
                    with lock:
                        batch = next(batches, None)
                    if batch is None:
                        return
                    out.append(batch.sum())
            for _ in range(4):
                threading.Thread(target=work).start()
        """,
    ),
)
