"""Where batches go: their transfers to a device, in the loop and in the helpers that it calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dlcheck.facts.model import Attr, Call, Const, Expr, Lambda, Name, Seq, Star, Sub, dotted, walk
from dlcheck.program.arguments import Arguments
from dlcheck.program.batch_parts import BatchParts, Kind, bound_by
from dlcheck.program.evaluate import Evaluator
from dlcheck.program.scope import Block, Scope
from dlcheck.program.uses import Use
from dlcheck.program.values import External, Known, Made, Method, Ref, SelfOf, Text, Value

_LABELS = re.compile(r"label|target|(^|[._])(y|gt)$")
_DEEPEST_DEVICE = 5
_DTYPES = frozenset(
    "float float16 float32 float64 half bfloat16 double int int8 int16 int32 int64 long short uint8 "
    "bool".split()
)


@dataclass(frozen=True, eq=False)
class Transfer:
    """A batch, or a part of it, moved to a device.

    ``device``: cuda, cpu or unknown. ``copied``: the batch is cast or copied first, which loses pinning; or it is a
    graph, which cannot be pinned.
    """

    use: Use
    scope: Scope
    call: Call
    block: Block | None
    device: Literal["cuda", "cpu", "unknown"]
    non_blocking: Literal["yes", "no", "unknown"]
    copied: bool
    base: str = ""

    @property
    def is_label(self) -> bool:
        """By its name, what is moved is small."""
        return isinstance(self.call.func, Attr) and bool(_LABELS.search(_name_of(self.call.func.base)))


def transfers(evaluator: Evaluator, use: Use) -> list[Transfer]:
    """The device transfers of the batches of one use, in helpers of the project as well."""
    if use.target is None:
        return []
    target = use.target
    if use.skips_first and isinstance(target, Seq) and target.items:
        target = Seq(target.kind, target.items[1:], target.at)
    out: list[Transfer] = []
    parts = BatchParts(use.scope, use.inner, use.at, bound_by(target))
    _transfers(evaluator, use, parts, out, set(), 0)
    return out


def _transfers(
    evaluator: Evaluator, use: Use, parts: BatchParts, out: list[Transfer], seen: set[int], depth: int
) -> None:
    scope = parts.scope
    for site in scope.calls:
        if not parts.inside(site.block, site.at):
            continue
        moved = _moved(evaluator, site.call, parts)
        if moved is not None:
            copied, device, non_blocking, base = moved
            out.append(Transfer(use, scope, site.call, site.block, device, non_blocking, copied, base))
            continue
        if depth >= 3 or not _is_handed(site.call, parts):
            continue
        for function, given in _handed_to(evaluator, site.call, parts):
            if given and id(function) not in seen:
                seen.add(id(function))
                inner = BatchParts(function, None, (0, 0, 0, 0), given)
                _transfers(evaluator, use, inner, out, seen, depth + 1)


def _handed_to(evaluator: Evaluator, call: Call, parts: BatchParts) -> Iterator[tuple[Scope, set[str]]]:
    """The functions of the project that a call hands the batch to, each with the parameters that get it."""
    scope = parts.scope
    for function in _applied(evaluator, call, parts):
        yield function, {function.params[0].name}
    for value in evaluator.values(call.func, scope):
        target = _function_of(evaluator, value)
        if target is None:
            continue
        skip = 1 if target.self_name is not None else 0
        arguments = Arguments(evaluator, call, scope)
        given = set()
        for position, param in enumerate(target.params[skip:]):
            exprs = arguments.given(param.name, None if param.kind == "keyword" else position)
            if any(where is scope and parts.is_part(expr) for expr, where in exprs):
                given.add(param.name)
        yield target, given


def _is_handed(call: Call, parts: BatchParts) -> bool:
    """Whether a call may be handed a batch: what it calls is followed only then."""
    if any(isinstance(argument, Star) or parts.is_part(argument) for argument in call.args):
        return True
    return any(key is None or parts.is_part(value) for key, value in call.keywords)


def _applied(evaluator: Evaluator, call: Call, parts: BatchParts) -> list[Scope]:
    """The functions of one argument that a call gets along with a batch: ``map(lambda x: x.cuda(), batch)``."""
    if not any(parts.is_part(a) for a in call.args):
        return []
    handed = [a for a in call.args if isinstance(a, (Lambda, Name)) and not parts.is_part(a)]
    found = [v.scope for a in handed for v in evaluator.values(a, parts.scope) if isinstance(v, Ref)]
    return [
        f for f in found if f.kind in ("function", "lambda") and len(f.params) == 1 and f.self_name is None
    ]


def _moved(
    evaluator: Evaluator, call: Call, parts: BatchParts
) -> tuple[bool, Literal["cuda", "cpu", "unknown"], Literal["yes", "no", "unknown"], str] | None:
    """If a call moves a batch to a device: whether it is copied first, which device, whether it blocks."""
    func, scope = call.func, parts.scope
    if not isinstance(func, Attr) or func.attr not in ("to", "cuda", "type"):
        return None
    kind = parts.kind(func.base)
    if kind is Kind.NONE:
        return None
    copied = kind is Kind.MADE or parts.of_graph(func.base)
    base = dotted(func.base) or next((n.id for n in walk(func.base) if isinstance(n, Name)), "")
    if func.attr == "cuda":
        return copied, "cuda", _non_blocking(evaluator, call, scope), base
    if not call.args and not call.keywords:
        return None
    target = call.args[0] if call.args else next((v for k, v in call.keywords if k == "device"), None)
    if target is None:
        return None
    if func.attr == "type":
        given = _tensor_type(evaluator, target, scope)
        return (copied, "cuda", _non_blocking(evaluator, call, scope), base) if given == "cuda" else None
    if _is_dtype(evaluator, target, scope):
        target = next((v for k, v in call.keywords if k == "device"), None)
        if target is None:
            return None
    return copied, device_of(evaluator, target, scope), _non_blocking(evaluator, call, scope), base


def _name_of(part: Expr) -> str:
    """``labels`` for ``labels[:, 0]`` and for ``batch["labels"].view(-1)``."""
    match part:
        case Sub(_, Const(str(key), _), _):
            return key
        case Sub(base, _, _) | Call(Attr(base, _, _), _, _, _):
            return _name_of(base)
    return dotted(part)


def _non_blocking(evaluator: Evaluator, call: Call, scope: Scope) -> Literal["yes", "no", "unknown"]:
    for key, value in call.keywords:
        if key in ("non_blocking", "async"):
            values = evaluator.values(value, scope)
            if any(isinstance(v, Known) and v.value for v in values):
                return "yes"
            return "no" if all(isinstance(v, Known) for v in values) else "unknown"
        if key is None:
            return "unknown"
    if any(isinstance(a, Const) and a.value is True for a in call.args):
        return "yes"
    return "no"


def _is_dtype(evaluator: Evaluator, expr: Expr, scope: Scope) -> bool:
    last = dotted(expr).rpartition(".")[2]
    if last in _DTYPES or "dtype" in last:
        return True
    return any(
        isinstance(v, External) and v.name.rpartition(".")[2] in _DTYPES
        for v in evaluator.values(expr, scope)
    )


def _tensor_type(evaluator: Evaluator, expr: Expr, scope: Scope) -> Literal["cuda", "cpu", "unknown"]:
    kinds = {
        "cuda" if ".cuda." in v.name else "cpu"
        for v in evaluator.values(expr, scope)
        if isinstance(v, External)
    }
    return "cuda" if "cuda" in kinds else "cpu" if kinds else "unknown"


def device_of(
    evaluator: Evaluator, expr: Expr, scope: Scope, depth: int = 0
) -> Literal["cuda", "cpu", "unknown"]:
    """What kind of device an expression names: cuda where any of its possible values is one."""
    if text_says_cuda(expr):
        return "cuda"
    kinds = {_device_kind(evaluator, v, depth) for v in evaluator.values(expr, scope)}
    if "cuda" in kinds:
        return "cuda"
    if kinds == {"cpu"}:
        return "cpu"
    last = dotted(expr).rpartition(".")[2].lower()
    if last in ("rank", "local_rank", "gpu", "gpu_id", "device_id", "cuda", "device_ids", "local_gpu"):
        return "cuda"
    return "unknown"


def _device_kind(evaluator: Evaluator, value: Value, depth: int) -> Literal["cuda", "cpu", "unknown"]:
    match value:
        case Known(text) if isinstance(text, str):
            return (
                "cuda" if text.startswith(("cuda", "gpu")) else "cpu" if text in ("cpu", "mps") else "unknown"
            )
        case Text(start):
            return "cuda" if start.startswith("cuda") else "unknown"
        case Known(number) if type(number) is int:
            return "cuda"
        case Made(what, call, scope, _, _) if isinstance(what, str):
            if what.startswith(("torch.cuda.", "torch.accelerator.")):
                return "cuda"
            if what == "torch.device" and call.args and depth < _DEEPEST_DEVICE:
                return device_of(evaluator, call.args[0], scope, depth + 1)
            if any(text_says_cuda(a) for a in (call.func, *call.args)):  # ``"cuda:{}".format(rank)``
                return "cuda"
            if what == "" and "device" in dotted(call.func).lower():
                return "cuda" if says_cuda(scope.module.scope) else "unknown"
        case External(name):
            return "cuda" if ".cuda" in name else "unknown"
        case Method(Made(what, _, _, _, _), "device") if isinstance(what, str):
            return "cuda" if what.startswith(("accelerate.", "lightning.")) else "unknown"
    return "unknown"


def says_cuda(module: Scope) -> bool:
    """The file names CUDA somewhere: an attribute ``.cuda`` or a text that starts with it."""
    for scope in module.descend():
        if any(attr.attr == "cuda" for attr, _ in scope.attrs):
            return True
        if any(text_says_cuda(a) for site in scope.calls for a in site.call.args):
            return True
    return False


def text_says_cuda(expr: Expr) -> bool:
    return any(
        isinstance(e, Const) and isinstance(e.value, str) and e.value.startswith("cuda") for e in walk(expr)
    )


def _function_of(evaluator: Evaluator, value: Value) -> Scope | None:
    match value:
        case Ref(scope, _) if scope.kind == "function":
            return scope
        case Made(what, _, _, _, _) | SelfOf(what) if isinstance(what, Scope) and what.kind == "class":
            return evaluator.method(what, "__call__") or evaluator.method(what, "forward")
    return None
