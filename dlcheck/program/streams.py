"""Iterable datasets: what their ``__iter__`` goes over, whether it ends, and whether it knows the worker it runs in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from dlcheck.facts.model import Attr, Call, Expr, For, Name, Slice, Sub, dotted, walk
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.endless import endless_loop
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.paths import Path, extend
from dlcheck.program.program import Dataset, reads_file
from dlcheck.program.scope import Block, Scope
from dlcheck.program.values import Group, Known, Made, Method, Ref, SelfOf, Table, Value

# ``whole``: the same samples in every worker. ``drawn``: samples made or drawn at random. ``self``: the dataset itself.
Kind = Literal["whole", "drawn", "endless", "self", "unknown"]

_DEEPEST = 6
_WORKER_CALLS = frozenset(
    {"shard", "_shard", "sharded", "sharding_filter", "split_by_node", "getpid", "current_process"}
)
_WORKER_NAMES = frozenset({"shard_id", "shard_index", "shard_idx", "num_shards", "shard_num"})
_RANK_NAMES = frozenset({"rank", "world_size", "get_rank", "get_world_size", "local_rank", "num_replicas"})
_THROUGH = frozenset(
    "enumerate zip map filter iter reversed islice chain from_iterable tqdm starmap zip_longest takewhile dropwhile "
    "track progress_bar".split()
)
_FILES = re.compile(r"(file|path|shard|url|archive|tar|name|part|doc|document)s?(_?list)?$", re.IGNORECASE)
_ENDLESS = frozenset({"itertools.count", "itertools.cycle", "itertools.repeat"})
_WHOLE = frozenset(
    {
        "builtins.range", "builtins.sorted", "builtins.list", "builtins.tuple", "builtins.set", "numpy.arange",
        "torch.arange", "torch.randperm", "numpy.random.permutation", "random.sample", "glob.glob", "glob.iglob",
        "os.listdir", "os.scandir", "os.walk", "csv.reader", "csv.DictReader", "fileinput.input", "itertools.product",
        "itertools.combinations", "itertools.permutations", "braceexpand.braceexpand",
    }
)  # fmt: skip
# Methods that give all parts of what they are called on.
_WHOLE_METHODS = frozenset(
    "glob rglob iterdir splitlines readlines iterrows itertuples keys items split fetchall iter_batches to_batches "
    "namelist getmembers tolist".split()
)
_DRAWS = frozenset(
    "choice choices sample randint randrange integers uniform random rand randn normal standard_normal shuffle".split()
)
_SEQUENCES = frozenset(
    "list List tuple Tuple Sequence MutableSequence str Path PathLike ndarray Tensor DataFrame dict Dict".split()
)


@dataclass(frozen=True, eq=False)
class Source:
    """What the samples of a stream come from: an expression that is iterated, in a method of ``cls``."""

    kind: Kind
    expr: Expr
    scope: Scope
    cls: Scope


def stream_path(dataset: Dataset) -> Path:
    """The code that makes the samples of an iterable dataset, that of the project's iterables it goes over included."""
    evaluator = dataset.evaluator
    path = Path(evaluator, "iter")
    for name in ("__iter__", "__next__"):
        method = evaluator.method(dataset.cls, name)
        if method is not None:
            extend(path, method, dataset.cls)
    done = 0
    while done < len(path.steps):
        scope = path.steps[done].scope
        done += 1
        exprs = [loop.iterable for loop in scope.loops if loop.iterable is not None]
        exprs += [expr for expr, _ in scope.returns]
        exprs += [y.value for y, _ in scope.yields if y.delegates and y.value is not None]
        exprs += [
            arg
            for site in scope.calls
            if _last(site.call.func) in {*_THROUGH, "next"}
            for arg in site.call.args
        ]
        for expr in exprs:
            for value in evaluator.values(expr, scope):
                for name in ("__iter__", "__next__"):
                    cls = class_of(value)
                    method = evaluator.method(cls, name) if cls is not None else None
                    if cls is not None and method is not None:
                        extend(path, method, cls)
    return path


def knows_worker(path: Path, classes: Iterable[Scope]) -> bool:
    """Code on the path, or any method of these classes, says something of workers or shards."""
    scopes = {step.scope for step in path.steps}
    scopes |= {scope for cls in classes for scope in cls.descend()}
    return any(_mentions_worker(scope) for scope in scopes)


def _mentions_worker(scope: Scope) -> bool:
    for word in _identifiers(scope):
        if "worker" in word.lower() or word in _WORKER_NAMES:
            return True
    return any(_last(site.call.func) in _WORKER_CALLS for site in scope.calls)


def knows_rank(path: Path) -> bool:
    """Code on the path divides the samples among the ranks of a distributed job."""
    return any(word in _RANK_NAMES for step in path.steps for word in _identifiers(step.scope))


def _identifiers(scope: Scope) -> Iterator[str]:
    for name, _ in scope.names:
        yield name.id
    for attr, _ in scope.attrs:
        yield attr.attr
    for param in scope.params:
        yield param.name
    for store in scope.stores:
        if store.attr is not None:
            yield store.attr
    yield from scope.bindings


def sources(dataset: Dataset) -> list[Source]:
    """What the samples of an iterable dataset come from. Parts of an outer source (the lines of each file) are left out."""
    method = dataset.evaluator.method(dataset.cls, "__iter__")
    return _of_function(dataset.evaluator, method, dataset.cls, 0) if method is not None else []


def _of_function(evaluator: Evaluator, function: Scope, cls: Scope, depth: int) -> list[Source]:
    out: list[Source] = []
    if not function.is_generator:
        for expr, _ in function.returns:
            out += _of_expr(evaluator, expr, function, cls, depth)
        return out
    for item, block in function.yields:
        loops = [b for b in (block.chain() if block is not None else ()) if b.kind in ("for", "while")][::-1]
        bound = _bound_in(function, loops)
        endless = endless_loop(loops)
        if endless is not None:
            out.append(Source("endless", endless.node.test, function, cls))
            continue
        roots: list[Source] = []
        for loop in loops:
            if loop.kind == "for":
                roots += _of_loop(evaluator, loop, bound, function, cls, depth)
            elif not roots or not _uses(loop.node.test, bound):
                # Else it only empties what the loop around it fills.
                roots += _of_while(evaluator, loop, function, cls)
        if item.delegates and item.value is not None and not _uses(item.value, bound):
            roots += _of_expr(evaluator, item.value, function, cls, depth)
        out += roots
    return out


def _of_loop(
    evaluator: Evaluator, loop: Block, bound: set[str], function: Scope, cls: Scope, depth: int
) -> list[Source]:
    node: For = loop.node
    if _uses(node.iterable, bound - _targets_of(node)):
        return []
    found = _of_expr(evaluator, node.iterable, function, cls, depth)
    counts = any(
        isinstance(v, Made) and v.what == "builtins.range" for v in evaluator.values(node.iterable, function)
    )
    if {source.kind for source in found} == {"unknown"} and _opened_in(evaluator, function, loop):
        return [Source("whole", node.iterable, function, cls)]
    if counts and (_draws_in(function, loop) or not _used_inside(function, loop, _targets_of(node))):
        # A number of samples that are drawn or made, or a number of rounds over something else.
        return [Source("drawn", node.iterable, function, cls)]
    return found


def _opened_in(evaluator: Evaluator, function: Scope, loop: Block) -> bool:
    """What the loop goes over is a list of files: it is called so, and the loop opens each of them."""
    listed = loop.node.iterable
    while True:
        if (
            isinstance(listed, Call)
            and _last(listed.func) in ("enumerate", "sorted", "list", "tqdm")
            and listed.args
        ):
            listed = listed.args[0]
        elif isinstance(listed, Sub) and isinstance(listed.index, Slice):
            listed = listed.base
        else:
            break
    if not isinstance(listed, Name | Attr) or not _FILES.search(_last(listed)):
        return False
    return any(
        isinstance(argument, Name) and argument.id in _targets_of(loop.node)
        for site in function.calls
        if site.block is not None and loop in site.block.chain()
        if any(map(reads_file, callee_names(evaluator, site.call, function)))
        for argument in site.call.args[:1]
    )


def _of_while(evaluator: Evaluator, loop: Block, function: Scope, cls: Scope) -> list[Source]:
    """A loop with a condition: over a file that is read on, else not known."""
    for site in function.calls:
        if _last(site.call.func) in ("read", "readline", "readinto"):
            if site.block is not None and loop in site.block.chain():
                if not _made_in(function, loop, site.call):
                    return [Source("whole", site.call, function, cls)]
    return [Source("unknown", loop.node.test, function, cls)]


def _made_in(function: Scope, loop: Block, call: Call) -> bool:
    """The loop itself opens what it reads."""
    base = call.func.base if isinstance(call.func, Attr) else None
    return isinstance(base, Name) and any(
        b.block is not None and loop in b.block.chain() for b in function.bindings.get(base.id, ())
    )


def _of_expr(evaluator: Evaluator, expr: Expr, scope: Scope, cls: Scope, depth: int) -> list[Source]:
    if depth > _DEEPEST:
        return [Source("unknown", expr, scope, cls)]
    out: list[Source] = []
    for value in evaluator.values(expr, scope):
        out += _of_value(evaluator, value, expr, scope, cls, depth + 1)
    return out


def _of_value(
    evaluator: Evaluator, value: Value, expr: Expr, scope: Scope, cls: Scope, depth: int
) -> list[Source]:
    def source(kind: Kind) -> list[Source]:
        return [Source(kind, expr, scope, cls)]

    match value:
        case Group(_, elements, where, exact=False) if len(elements) == 1 and isinstance(
            expr, Name | Attr | Call
        ):
            return source("whole")
        case Group() | Table():
            return source("whole")
        case Known(None):
            return []
        case SelfOf() if isinstance(expr, Name):
            return source("self")
        case Made(what, call, where, _, _) if isinstance(what, str):
            return _of_call(evaluator, what, call, where, expr, scope, cls, depth)
        case Made(what, _, _, _, _) if isinstance(what, Scope) and what.kind != "class":
            return _of_function(evaluator, what, cls, depth)
        case Made() | SelfOf():
            inner = class_of(value)
            if inner is None:
                return source("unknown")
            method = evaluator.method(inner, "__iter__")
            if method is not None:
                return _of_function(evaluator, method, inner, depth)
            return source("whole" if evaluator.method(inner, "__getitem__") is not None else "unknown")
        case Method(Made(what, _, _, _, _), _) if isinstance(what, str):
            return source("whole" if _is_whole(what) else "unknown")
    return source("whole" if _is_sequence(expr, scope, evaluator) else "unknown")


def _of_call(
    evaluator: Evaluator,
    what: str,
    call: Call,
    where: Scope,
    expr: Expr,
    scope: Scope,
    cls: Scope,
    depth: int,
) -> list[Source]:
    last = what.rpartition(".")[2] or _last(call.func)
    if what in _ENDLESS:
        return [Source("endless", expr, scope, cls)]
    if last in _THROUGH:
        arguments = (
            call.args[1:] if last in ("map", "filter", "starmap", "takewhile", "dropwhile") else call.args
        )
        if last == "islice":
            arguments = call.args[:1]
        found = [s for a in arguments for s in _of_expr(evaluator, a, where, cls, depth)]
        if last == "zip" and any(s.kind == "whole" for s in found):
            found = [s for s in found if s.kind != "endless"]
        return found
    if _is_whole(what) or last in _WHOLE_METHODS:
        return [Source("whole", expr, scope, cls)]
    return [Source("unknown", expr, scope, cls)]


def _is_whole(name: str) -> bool:
    """A callable that gives a known whole: a file, a table, a list; or a method of what one gave."""
    while name:
        if name in _WHOLE or name in names.PLAIN_OPENERS or reads_file(name):
            return True
        name = name.rpartition(".")[0]
    return False


def _is_sequence(expr: Expr, scope: Scope, evaluator: Evaluator) -> bool:
    """An annotation says that it is a sequence, or the class asks for its length or for one of its elements."""
    match expr:
        case Name(name, _):
            if any(b.kind == "param" and _annotated(b.node.annotation) for b in scope.bindings.get(name, ())):
                return True
            assigned = [
                b.value for b in scope.bindings.get(name, ()) if b.kind == "assign" and b.value is not None
            ]
            return any(
                _is_sequence(value, scope, evaluator) for value in assigned if not isinstance(value, Name)
            )
        case Attr(Name(me, _), attr, _) if scope.owner is not None and me == scope.self_name:
            lineage = [v.scope for v in evaluator.lineage(scope.owner) if isinstance(v, Ref)]
            methods = [method for cls in lineage for method in cls.all_functions]
            return any(_says_sequence(method, attr) for method in methods)
    return False


def _says_sequence(method: Scope, attr: str) -> bool:
    for store in method.stores:
        if store.attr == attr and isinstance(store.value, Name):
            bindings = method.bindings.get(store.value.id, ())
            if any(b.kind == "param" and _annotated(b.node.annotation) for b in bindings):
                return True
    own = f"{method.self_name}.{attr}"
    if any(dotted(sub.base) == own for sub, _ in method.subs):
        return True
    lengths = [s for s in method.calls if dotted(s.call.func) == "len" and len(s.call.args) == 1]
    return method.name != "__len__" and any(dotted(site.call.args[0]) == own for site in lengths)


def _annotated(annotation: Expr | None) -> bool:
    if isinstance(annotation, Sub):
        annotation = annotation.base
    return annotation is not None and dotted(annotation).rpartition(".")[2] in _SEQUENCES


def _draws_in(function: Scope, loop: Block) -> bool:
    return any(
        site.block is not None and loop in site.block.chain() and _last(site.call.func) in _DRAWS
        for site in function.calls
    )


def _bound_in(function: Scope, loops: list[Block]) -> set[str]:
    """The names that the loops bind, and what is computed from them inside."""
    bound = {name for loop in loops if loop.kind == "for" for name in _targets_of(loop.node)}
    for _ in range(4):
        size = len(bound)
        for name, bindings in function.bindings.items():
            if name not in bound and any(
                b.value is not None
                and b.block is not None
                and set(b.block.chain()) & set(loops)
                and _uses(b.value, bound)
                for b in bindings
            ):
                bound.add(name)
        for site in function.calls:
            func = site.call.func
            if isinstance(func, Attr) and func.attr in ("append", "extend") and isinstance(func.base, Name):
                if site.block is not None and set(site.block.chain()) & set(loops):
                    if any(_uses(argument, bound) for argument in site.call.args):
                        bound.add(func.base.id)
        if len(bound) == size:
            break
    return bound


def _targets_of(node: For) -> set[str]:
    return {part.id for part in walk(node.target) if isinstance(part, Name)}


def _used_inside(function: Scope, loop: Block, targets: set[str]) -> bool:
    return any(
        name.id in targets and block is not None and loop in block.chain() for name, block in function.names
    )


def _uses(expr: Expr, bound: set[str]) -> bool:
    return any(isinstance(part, Name) and part.id in bound for part in walk(expr))


def class_of(value: Value) -> Scope | None:
    """The class of the project that a value is an instance of."""
    owner = value.what if isinstance(value, Made) else value.scope if isinstance(value, SelfOf) else None
    return owner if isinstance(owner, Scope) and owner.kind == "class" else None


def _last(func: Expr) -> str:
    return func.attr if isinstance(func, Attr) else func.id if isinstance(func, Name) else ""
