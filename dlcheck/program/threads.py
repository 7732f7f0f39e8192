"""Threads: where they are started, what each runs, and how many at a time run the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlcheck.facts.model import Attr, Call, Expr, Lambda, Name, Other, dotted, walk
from dlcheck.program.callers import handed_over
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, CallSite, Loop, Scope
from dlcheck.program.values import External, Known, Made, PartialRef, Ref

_POOLS = (
    "concurrent.futures.ThreadPoolExecutor",
    "concurrent.futures.thread.ThreadPoolExecutor",
    "multiprocessing.pool.ThreadPool",
    "multiprocessing.dummy.Pool",
)
_THREADS = frozenset({"threading.Thread"})
_STARTERS = frozenset(
    {
        "threading.Thread",
        "threading.Timer",
        "_thread.start_new_thread",
        "thread.start_new_thread",
        "asyncio.to_thread",
    }
)
# Methods of a pool that run a function once, and those that run it once for each of many values.
_ONCE = frozenset({"submit", "apply_async", "to_thread", "run_in_executor"})
_MANY = frozenset({"map", "imap", "imap_unordered", "map_async", "starmap", "starmap_async"})


@dataclass(frozen=True, eq=False)
class ThreadStart:
    """A place that starts threads. ``runs``: the functions that the thread runs, those that they call included.

    ``call`` is the call as if the function were called there, with its arguments. ``loop`` is the innermost loop around
    the place; ``many``: threads of this place run side by side, because of a loop or a ``map``.
    """

    site: CallSite
    call: Call
    functions: tuple[Scope, ...]
    runs: frozenset[Scope]
    loop: Block | None
    many: bool


def thread_starts(program: Program) -> list[ThreadStart]:
    """Every place of the program that starts threads with a function that is known."""
    names = {"Thread", "Timer", "start_new_thread", *_ONCE, *_MANY, *_thread_classes(program)}
    sites = [site for name in sorted(names) for site in program.evaluator.callers.named(name)]
    sites.sort(key=lambda site: (site.scope.module.path, site.at))
    started = (_start(program, site) for site in sites)
    return [start for start in started if start is not None]


def _thread_classes(program: Program) -> set[str]:
    """The names of the project's classes that derive from ``Thread``."""
    return {
        scope.name
        for module in program.modules
        for scope in module.scopes
        if scope.kind == "class" and scope.node.bases and program.evaluator.is_a(scope, _THREADS)
    }


def _start(program: Program, site: CallSite) -> ThreadStart | None:
    maps = _maps(site)
    call = maps or handed_over(site)
    functions = _run_methods(program.evaluator, site)
    if functions:
        call = site.call
    elif call is not None and _is_threaded(program.evaluator, site):
        functions = _functions(program, call.func, site.scope)
    if call is None:
        return None
    if not functions:
        return None
    runs = {step.scope for f in functions for step in program.function_path(f).steps} | set(functions)
    around = site.block.chain() if site.block is not None else ()
    loop = next((block for block in around if block.kind in ("for", "while", "comp")), None)
    return ThreadStart(
        site, call, functions, frozenset(runs), loop, maps is not None or _side_by_side(site, loop)
    )


def _maps(site: CallSite) -> Call | None:
    """``pool.map(f, values)``: what each thread calls, as far as it is known."""
    call = site.call
    if isinstance(call.func, Attr) and call.func.attr in _MANY and len(call.args) >= 2:
        return Call(call.args[0], (), (), call.at)
    return None


def _is_threaded(evaluator: Evaluator, site: CallSite) -> bool:
    func = site.call.func
    if _awaited(site):
        return False  # one thing after the other
    if any(isinstance(v, External) and v.name in _STARTERS for v in evaluator.values(func, site.scope)):
        return True
    if isinstance(func, Attr) and func.attr == "run_in_executor":
        executor = evaluator.values(site.call.args[0], site.scope) if site.call.args else ()
        return all(v == Known(None) or (isinstance(v, Made) and v.what in _POOLS) for v in executor)
    if isinstance(func, Attr) and func.attr in _ONCE | _MANY:
        return any(isinstance(v, Made) and v.what in _POOLS for v in evaluator.values(func.base, site.scope))
    return False


def _awaited(site: CallSite) -> bool:
    """``await asyncio.to_thread(f)``, ``await asyncio.wait_for(asyncio.to_thread(f), 60)``: one at a time."""
    value = getattr(site.statement, "value", None)
    for part in walk(value) if value is not None else ():
        if isinstance(part, Other) and part.kind == "await":
            awaited = part.parts[0]
            while isinstance(awaited, Call) and awaited is not site.call and awaited.args:
                if dotted(awaited.func).rpartition(".")[2] not in ("wait_for", "shield"):
                    break
                awaited = awaited.args[0]
            if awaited is site.call:
                return True
    return False


def _run_methods(evaluator: Evaluator, site: CallSite) -> tuple[Scope, ...]:
    """``run`` of a class of the project that derives from ``Thread``, where one is made."""
    out = []
    for value in evaluator.values(site.call.func, site.scope):
        if isinstance(value, Ref) and value.scope.kind == "class" and evaluator.is_a(value.scope, _THREADS):
            run = evaluator.method(value.scope, "run")
            out += [run] if run is not None else []
    return tuple(out)


def _functions(program: Program, expr: Expr, scope: Scope) -> tuple[Scope, ...]:
    if isinstance(expr, Lambda):
        inner = scope.lambda_scopes.get(id(expr))
        return (inner,) if inner is not None else ()
    out: list[Scope] = []
    for value in program.values(expr, scope):
        if isinstance(value, PartialRef):
            value = value.func
        if isinstance(value, Ref) and value.scope.kind in ("function", "lambda"):
            out.append(value.scope)
    return tuple(dict.fromkeys(out))


def _side_by_side(site: CallSite, loop: Block | None) -> bool:
    """Started in a loop that does not wait for each thread before it starts the next."""
    if loop is None or _used_up(site, loop):
        return False
    return not any(
        isinstance(other.call.func, Attr)
        and other.call.func.attr in ("join", "result", "get")
        and not other.call.args
        and other.block is not None
        and loop in other.block.chain()
        and "queue" not in dotted(other.call.func).lower()
        for other in site.scope.calls
    )


def _used_up(site: CallSite, loop: Block) -> bool:
    """Each turn of the loop takes what its thread gives, in a loop of its own: ``for batch in Prefetcher(loader)``, or
    ``while (batch := queue.get()) is not None``.
    """
    around = set(site.block.chain()) if site.block is not None else set()
    made = {
        name
        for name, bindings in site.scope.bindings.items()
        if any(b.value is not None and site.call in walk(b.value) for b in bindings)
    }
    for inner in site.scope.loops:
        if inner.inner in around or inner.block is None or loop not in inner.block.chain():
            continue
        parts = list(walk(inner.iterable)) if inner.iterable is not None else []
        if site.call in parts or any(isinstance(p, Name) and p.id in made for p in parts):
            return True
        if any(isinstance(p, Attr) and p.attr == "get" for p in parts):
            return True
        takes = (
            other
            for other in site.scope.calls
            if (other.block is not None and inner.inner in other.block.chain()) or other.call in _test(inner)
        )
        if any(
            isinstance(t.call.func, Attr) and t.call.func.attr == "get" and not t.call.args for t in takes
        ):
            return True
    return False


def _test(loop: Loop) -> Iterator[Expr]:
    return walk(loop.node.test) if loop.kind == "while" else iter(())
