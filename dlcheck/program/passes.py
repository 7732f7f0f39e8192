"""Passes over all samples before the first epoch: calls of the set-up path that read the file of each."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name, Return, dotted, walk
from dlcheck.program import names
from dlcheck.program.callees import callee_names
from dlcheck.program.items import attribute_of_self
from dlcheck.program.lazy import is_lazy
from dlcheck.program.paths import Path, loop_around, loop_of
from dlcheck.program.scope import Block, CallSite, Scope
from dlcheck.program.steps import Step
from dlcheck.program.values import Group, PartialRef, Ref

# Opening these reads no more than a header.
_READERS = names.DECODERS | {"nibabel.load.get_fdata", "nibabel.load.get_data"}
_LAZY_OPENERS = {"rasterio.open", "nibabel.load", "decord.VideoReader", "av.open"}
# These decode the whole file, even where only the shape of it is asked for.
_WHOLE = _READERS - _LAZY_OPENERS - {"PIL.Image.open", "pydicom.dcmread"}
_ARRAYS = {"numpy.load", "torch.load", "scipy.io.loadmat", "numpy.loadtxt", "safetensors.torch.load_file"}
_JOINS = {
    "torch.cat",
    "torch.concat",
    "torch.concatenate",
    "numpy.concatenate",
    "numpy.vstack",
    "numpy.hstack",
}
_LISTINGS = {"os.listdir", "glob.glob", "glob.iglob", "os.walk", "os.scandir"}
SWITCH = re.compile(
    r"cache|memory|in_?mem|pre_?load|pre_?fetch|ram\b|load_all|lazy|eager|debug|verify|check|filter|exists|keep",
    re.IGNORECASE,
)
_CHECK = re.compile(r"debug|verify|check|filter|exists", re.IGNORECASE)
_HEADER = {"size", "width", "height", "mode", "format", "info", "verify", "n_frames", "shape", "getexif"}
_MAPS = {"map", "imap", "imap_unordered", "starmap", "thread_map", "process_map"}
_WRAPPERS = {"tqdm", "trange", "enumerate", "sorted", "list", "zip", "range", "len", "track", "iter", "set"}


class Pass:
    """A call of the set-up path, looked at as one that may read all samples."""

    def __init__(self, path: Path, step: Step, site: CallSite, samples: set[str]) -> None:
        self.path = path
        self.step = step
        self.site = site
        self.samples = samples
        self.evaluator = path.evaluator

    def find(self) -> tuple[str, bool] | None:
        """(the reader, whether it is sure), if the call reads the file of each sample."""
        call, scope, block = self.site.call, self.step.scope, self.site.block
        mapped = self._mapped()
        around = loop_around(block)
        if mapped is not None:
            over: Expr | None = mapped[1]
            reader = mapped[0]
        elif around is not None:
            loop = loop_of(scope, around)
            over = loop.iterable if loop is not None else None
            given = [*call.args, *(v for _, v in call.keywords)]
            given += [call.func.base] if isinstance(call.func, Attr) else []
            if not any(self.path.varies(a, self.step) for a in given):
                return None
            reader = self._reader()
        else:
            return None
        if not reader or over is None or _small(over, scope, self.path):
            return None
        if (
            is_lazy(block, scope, self.site.at)
            or is_guarded(self.path, scope, block)
            or (reader not in _WHOLE and _header_only(self.site))
        ):
            return None
        if self._put_end_to_end():
            return reader, False
        kept = self._kept()
        listed = self._over_samples(over)
        return reader, (listed or kept) if reader in _READERS else (listed and not kept)

    def _put_end_to_end(self) -> bool:
        """``self.rays = torch.cat(self.rays)``: an item is a part of a file, drawn from all files, so all must be there."""
        return any(
            store.attr in self.samples
            and isinstance(store.value, Call)
            and any(n in _JOINS for n in callee_names(self.evaluator, store.value, self.step.scope))
            and loop_around(store.block) is None
            for store in self.step.scope.stores
        )

    def _reader(self) -> str:
        return _first(self._readers(self.site, self.step.scope, 0))

    def _readers(self, site: CallSite, scope: Scope, depth: int) -> Iterator[str]:
        """What a call reads files with, itself or through functions of the project."""
        yield from (n for n in callee_names(self.evaluator, site.call, scope) if _reads(n))
        for value in self.evaluator.values(site.call.func, scope):
            if isinstance(value, Ref) and value.scope.kind == "function" and value.scope is not scope:
                yield from self._readers_in(value.scope, depth)

    def _readers_in(self, scope: Scope, depth: int) -> Iterator[str]:
        if scope.is_generator or depth > 2:
            return
        for site in scope.calls:
            if not is_lazy(site.block, scope, site.at):
                found = list(self._readers(site, scope, depth + 1))
                if not _header_only(site) or not _WHOLE.isdisjoint(found):
                    yield from found

    def _mapped(self) -> tuple[str, Expr] | None:
        """``pool.map(read, samples)``: (what ``read`` reads with, the samples)."""
        call = self.site.call
        name = (
            call.func.attr
            if isinstance(call.func, Attr)
            else call.func.id
            if isinstance(call.func, Name)
            else ""
        )
        if name not in _MAPS or len(call.args) < 2:
            return None
        for value in self.evaluator.values(call.args[0], self.step.scope):
            if isinstance(value, PartialRef):
                value = value.func
            if isinstance(value, Ref) and value.scope.kind in ("function", "lambda"):
                reader = _first(self._readers_in(value.scope, 0))
                if reader:
                    return reader, call.args[1]
        return None

    def _over_samples(self, over: Expr) -> bool:
        """The loop runs over what items are looked up in, or over a listing of files."""
        scope = self.step.scope
        for part in walk(over):
            if attribute_of_self(part, scope) in self.samples:
                return True
            if isinstance(part, Call) and _lists(callee_names(self.evaluator, part, scope)):
                return True
            if isinstance(part, Name):
                for binding in scope.bindings.get(part.id, ()):
                    if binding.kind == "assign" and binding.value is not None:
                        inner = (p for p in walk(binding.value) if isinstance(p, Call))
                        if any(_lists(callee_names(self.evaluator, p, scope)) for p in inner):
                            return True
                if any(_is_name(s.value, part.id) and s.attr in self.samples for s in scope.stores):
                    return True
        return False

    def _kept(self) -> bool:
        """What is read is kept as the samples: stored in, or appended to, what items are looked up in."""
        scope = self.step.scope
        statement = self.site.statement
        targets = getattr(statement, "targets", ())
        if any(attribute_of_self(t, scope) in self.samples for t in targets):
            return True
        if isinstance(statement, Return):
            callers = [s for s, _ in self.evaluator.callers.of(scope)]
            for site in callers if scope.kind == "function" else ():
                given_to = getattr(site.statement, "targets", ())
                if any(attribute_of_self(t, site.scope) in self.samples for t in given_to):
                    return True
        held = {t.id for t in targets if isinstance(t, Name)}
        for other in scope.calls:
            func = other.call.func
            if isinstance(func, Attr) and func.attr in ("append", "extend"):
                if attribute_of_self(func.base, scope) not in self.samples:
                    continue
                parts = [p for a in other.call.args for p in walk(a)]
                if any(p is self.site.call or (isinstance(p, Name) and p.id in held) for p in parts):
                    return True
        return False


def is_guarded(path: Path, scope: Scope, block: Block | None, depth: int = 0) -> bool:
    """It runs only where a switch asks for it."""
    for around in block.chain() if block is not None else ():
        if around.kind in ("if", "else", "orelse") and SWITCH.search(_words(around.node)):
            return True
    if depth > 4 or _CHECK.search(scope.name):
        return depth <= 4
    callers = [s for s, _ in path.evaluator.callers.of(scope) if path.step_of(s.scope) is not None]
    return bool(callers) and all(is_guarded(path, s.scope, s.block, depth + 1) for s in callers)


def _first(readers: Iterator[str]) -> str:
    """The decoder among the readers, else the first of them."""
    found = list(readers)
    return next((n for n in found if n in _READERS), found[0] if found else "")


def _words(node: object) -> str:
    test = getattr(node, "test", None)
    if test is None:
        return ""
    words = []
    for part in walk(test):
        match part:
            case Name(text, _) | Attr(_, text, _):
                words.append(text)
            case Const(str(text), _):
                words.append(text)
    return " ".join(words)


def _reads(name: str) -> bool:
    return (name in _READERS and name not in _LAZY_OPENERS) or name in _ARRAYS


def _lists(called: tuple[str, ...]) -> bool:
    return any(
        n in _LISTINGS or (n.startswith("pathlib.") and n.endswith(("glob", "iterdir"))) for n in called
    )


def _is_name(expr: Expr, name: str) -> bool:
    return isinstance(expr, Name) and expr.id == name


def _small(over: Expr, scope: Scope, path: Path) -> bool:
    """A loop over a few things that are written out, or over a constant range."""
    if isinstance(over, Call) and isinstance(over.func, Name) and over.func.id in _WRAPPERS and over.args:
        return all(_small(a, scope, path) for a in over.args)
    if isinstance(over, Const):
        return True
    return any(isinstance(v, Group) and v.exact and v.items for v in path.evaluator.values(over, scope))


def _header_only(site: CallSite) -> bool:
    """Of what is opened, only the size or another entry of the header is used; or no more may be read."""
    scope = site.scope
    if dotted(site.call.func).endswith("dcmread"):
        if any(key in (None, "stop_before_pixels", "specific_tags") for key, _ in site.call.keywords):
            return True
    if any(a.base is site.call and a.attr in _HEADER for a, _ in scope.attrs):
        return True
    targets = [t.id for t in getattr(site.statement, "targets", ()) if isinstance(t, Name)]
    targets += [
        b.id for v, b in getattr(site.statement, "items", ()) if v is site.call and isinstance(b, Name)
    ]
    if not targets:
        return False
    used = [a.attr for a, _ in scope.attrs if isinstance(a.base, Name) and a.base.id == targets[0]]
    plain = sum(1 for n, _ in scope.names if n.id == targets[0])
    return bool(used) and plain == len(used) and all(attr in _HEADER | {"close"} for attr in used)
