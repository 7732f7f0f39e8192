"""The code that loads a sample catches every exception and carries on as if nothing had happened.

A broken file, a full disk, a missing codec or a plain bug then looks like data: the model trains on zeros, on noise with a true
label, or on fewer samples than are thought, and nobody is told. Source: torch issues 1137 and 52850.

**Found:** `except:`, `except Exception:`, `except BaseException:` and `suppress(Exception)` around a load or a decode in the item
path, which neither raises, nor logs, nor hands the error on; a `print` does not help where a made-up sample (zeros, noise) takes
the place of the true one.

**Left alone:** handlers that log or warn; handlers for expected exception types; a bounded number of tries, and then an error;
`return None`, which a collate function drops or trips over; clean-up and optional values that read no file.

**Cure:** catch the one error that is expected (`OSError`, `UnidentifiedImageError`), log the path, and count what was left out.
**Versions:** all.
"""

from collections.abc import Iterator

from dlcheck.facts.model import (
    Attr,
    Call,
    Const,
    Expr,
    Handler,
    Name,
    Raise,
    Return,
    Seq,
    Simple,
    Stmt,
    Try,
    dotted,
    walk,
)
from dlcheck.lint.finding import Confidence
from dlcheck.lint.rule import Report, Rule
from dlcheck.program.callees import callee_names
from dlcheck.program.items import ItemFunction, item_functions
from dlcheck.program.paths import function_path, loop_around
from dlcheck.program.program import Program, reads_file
from dlcheck.program.scope import Block, CallSite, Scope

_BROAD = frozenset({"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"})
_LOGS = frozenset(
    "warning warn error exception info debug critical log fatal logger warn_once warning_once capture_exception "
    "log_exception put put_nowait set_exception".split()
)
_PRINTS = frozenset({"print", "print_exc", "write", "pprint", "secho", "echo"})
_MADE_UP = frozenset(
    "zeros ones empty full rand randn random zeros_like ones_like empty_like full_like normal new randint noise".split()
)
_LOADS = tuple("load read open decode parse fetch download get_item getitem sample extract".split())
_CLEANS = frozenset(
    {"close", "remove", "unlink", "rmtree", "release", "terminate", "kill", "shutdown", "release_read"}
)


def check(program: Program) -> Iterator[Report]:
    for function in item_functions(program):
        scope = function.scope
        if function.lazy:
            continue
        for node, around in scope.tries:
            evidence = _loads(program, scope, node)
            if evidence is None:
                continue
            for handler in node.handlers:
                if not _is_broad(handler.type):
                    continue
                what = _outcome(scope, handler, around, function)
                if what:
                    yield _report(scope, handler.at, what, evidence)
                break
        for block in scope.blocks:
            if block.kind == "with" and _suppresses_all(block, scope, program):
                calls = [
                    site for site in scope.calls if site.block is not None and block in site.block.chain()
                ]
                graded = _grade(program, scope, calls)
                if graded is not None:
                    yield _report(scope, block.node.at, "goes on", graded)


def _report(scope: Scope, at: tuple[int, int, int, int], what: str, confidence: Confidence) -> Report:
    return Report(
        scope,
        (at[0], at[1], at[0], at[1] + 6),
        f"any error while a sample is loaded {what}, and nobody is told: broken files and bugs pass for data",
        help="catch the exception that is expected, log the sample that it was, and let the others through",
        confidence=confidence,
    )


def _is_broad(kind: Expr | None) -> bool:
    if kind is None:
        return True
    kinds = kind.items if isinstance(kind, Seq) else (kind,)
    return any(dotted(k) in _BROAD for k in kinds)


def _suppresses_all(block: Block, scope: Scope, program: Program) -> bool:
    for manager, _ in block.node.items:
        if isinstance(manager, Call) and "contextlib.suppress" in callee_names(
            program.evaluator, manager, scope
        ):
            return any(_is_broad(a) for a in manager.args)
    return False


def _loads(program: Program, scope: Scope, node: Try) -> Confidence | None:
    """Whether the guarded code loads a sample: high where a reader of files is seen."""
    calls = [site for site in scope.calls if _within(site.block, node, "try")]
    return _grade(program, scope, calls)


def _grade(program: Program, scope: Scope, calls: list[CallSite]) -> Confidence | None:
    graded: Confidence | None = None
    for site in calls:
        last = _last(site.call.func)
        if last in _CLEANS:
            continue
        if any(reads_file(n) for n in callee_names(program.evaluator, site.call, scope)):
            return "high"
        for value in program.values(site.call.func, scope):
            inner = getattr(value, "scope", None)
            if isinstance(inner, Scope) and inner.kind == "function" and inner is not scope:
                path = function_path(program.evaluator, inner, "item")
                if any(reads_file(n) for call in path.calls for n in call.names):
                    return "high"
        if last == "next" or any(word in last.lower() for word in _LOADS):
            graded = "medium"
    return graded


def _within(block: Block | None, node: object, kind: str) -> bool:
    return block is not None and any(b.node is node and b.kind == kind for b in block.chain())


def _outcome(scope: Scope, handler: Handler, around: Block | None, function: ItemFunction) -> str:
    """What the handler does with an error that it hides; empty where it does not hide it."""

    def inside(block: Block | None) -> bool:
        return _within(block, handler, "except")

    if any(inside(block) for _, block in scope.raises) or _raises_later(scope, handler, around):
        return ""
    calls = [site for site in scope.calls if inside(site.block)]
    # A print behind a switch (``if self.debug:``) tells nobody.
    printed = any(
        _last(site.call.func) in _PRINTS and site.block is not None and site.block.node is handler
        for site in calls
    )
    for site in calls:
        name = dotted(site.call.func).lower()
        if _last(site.call.func) in _LOGS or "log" in name.split(".")[0] or "warn" in name:
            return ""
        if _last(site.call.func) in ("exit", "_exit", "abort"):
            return ""
    if handler.name is not None and _hands_on(scope, handler, inside):
        return ""
    made_up = any(_last(site.call.func) in _MADE_UP and not _picks(site.call) for site in calls)
    if printed and not made_up:
        return ""
    return _goes_on(handler.body, function, made_up)


def _picks(call: Call) -> bool:
    """A random index (``randint(len(self))``), not random content."""
    return any(isinstance(part, Call) and _last(part.func) == "len" for a in call.args for part in walk(a))


def _goes_on(body: tuple[Stmt, ...], function: ItemFunction, made_up: bool) -> str:
    last = body[-1]
    if isinstance(last, Return):
        if last.value is None or (isinstance(last.value, Const) and last.value.value is None):
            in_stream = function.scope.is_generator or function.scope.name in ("__iter__", "__next__")
            return "ends the stream early" if in_stream else ""
        if isinstance(last.value, Const):
            return ""  # a flag, which the caller is to look at
        return "turns it into a made-up one" if made_up else "turns it into another one"
    if isinstance(last, Simple) and last.kind == "break":
        return "ends the loop early"
    if isinstance(last, Simple) and last.kind == "continue":
        return "leaves the sample out"
    return "turns it into a made-up one" if made_up else "is passed over"


def _raises_later(scope: Scope, handler: Handler, around: Block | None) -> bool:
    """A bounded number of tries: after the loop around it, an error is raised."""
    loop = loop_around(around)
    for node, block in scope.raises:
        assert isinstance(node, Raise)
        if (node.at[0], node.at[1]) > (handler.at[2], handler.at[3]):
            if block is None or (loop is not None and loop not in block.chain()) or loop is None:
                return True
    return False


def _hands_on(scope: Scope, handler: Handler, inside: object) -> bool:
    """The exception itself is kept, returned or given to something else than ``print``."""
    assert callable(inside)
    printed = {
        id(part)
        for site in scope.calls
        if inside(site.block) and _last(site.call.func) in _PRINTS
        for argument in site.call.args
        for part in walk(argument)
    }
    return any(
        name.id == handler.name and inside(block) and id(name) not in printed for name, block in scope.names
    )


def _last(func: Expr) -> str:
    return func.attr if isinstance(func, Attr) else func.id if isinstance(func, Name) else ""


RULE = Rule(
    code="DLC406",
    name="swallowed-sample-error",
    severity="warning",
    check=check,
    page=__doc__ or "",
    found=(
        """
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths, transform):
                self.paths = paths
                self.transform = transform
            def __getitem__(self, index):
                try:
                    image = Image.open(self.paths[index]).convert("RGB")
                except:  # <- DLC406
                    return self.__getitem__((index + 1) % len(self.paths))
                return self.transform(image)
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Scans(Dataset):
            def __init__(self, paths, labels):
                self.paths = paths
                self.labels = labels
            def load(self, index):
                return np.load(self.paths[index])
            def __getitem__(self, index):
                try:
                    x = self.load(index)
                except Exception as e:  # <- DLC406
                    print("bad file", e)
                    x = np.zeros((224, 224))
                return x, self.labels[index]
        """,
        """
        import json
        from torch.utils.data import IterableDataset

        class Lines(IterableDataset):
            def __init__(self, paths):
                self.paths = paths
            def __iter__(self):
                for path in self.paths:
                    try:
                        record = json.load(open(path))
                    except Exception:  # <- DLC406
                        continue
                    yield record
        """,
        """
        from contextlib import suppress
        import random
        import torchaudio
        from torch.utils.data import Dataset

        class Clips(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                while True:
                    try:
                        return torchaudio.load(self.paths[index])
                    except (RuntimeError, Exception):  # <- DLC406
                        index = random.randrange(len(self.paths))

        class Told(Clips):
            def __getitem__(self, index):
                try:
                    return torchaudio.load(self.paths[index])
                except Exception:  # <- DLC406
                    if self.verbose:
                        print("cannot load", index)
                    return self[1]

        class Quiet(Clips):
            def __getitem__(self, index):
                wave = None
                with suppress(Exception):  # <- DLC406
                    wave = torchaudio.load(self.paths[index])
                return wave
        """,
    ),
    clean=(
        """
        import numpy as np
        from PIL import Image
        from torch.utils.data import Dataset

        class Photos(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                try:
                    return Image.open(self.paths[index]).convert("RGB")
                except Exception as error:
                    print(f"cannot load {self.paths[index]}: {error}")
                    return self[np.random.randint(len(self.paths))]
        """,
        """
        import logging
        import warnings
        from PIL import Image, UnidentifiedImageError
        from torch.utils.data import Dataset

        log = logging.getLogger(__name__)

        class Logged(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                try:
                    return Image.open(self.paths[index]).convert("RGB")
                except Exception as e:
                    log.warning("skipped %s: %s", self.paths[index], e)
                    return self[index + 1]

        class Expected(Logged):
            def __getitem__(self, index):
                try:
                    return Image.open(self.paths[index]).convert("RGB")
                except (OSError, UnidentifiedImageError):
                    return self[index + 1]

        class Warned(Logged):
            def __getitem__(self, index):
                try:
                    return Image.open(self.paths[index]).convert("RGB")
                except Exception:
                    warnings.warn(f"{index} cannot be read")
                    return self[index + 1]
        """,
        """
        import torchvision
        from torch.utils.data import DataLoader, Dataset, default_collate

        class Clips(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                try:
                    return torchvision.io.read_video(self.paths[index])
                except Exception:
                    return None

        def collate(batch):
            return default_collate([sample for sample in batch if sample is not None])

        loader = DataLoader(Clips([]), collate_fn=collate)
        """,
        """
        import numpy as np
        import random
        from torch.utils.data import Dataset

        class Retried(Dataset):
            def __init__(self, paths):
                self.paths = paths
            def __getitem__(self, index):
                for _ in range(5):
                    try:
                        return np.load(self.paths[index])
                    except Exception:
                        index = random.randrange(len(self.paths))
                raise RuntimeError("five samples in a row cannot be read")

        class Explained(Retried):
            def __getitem__(self, index):
                try:
                    return np.load(self.paths[index])
                except Exception as e:
                    print(self.paths[index])
                    raise
        """,
    ),
)
