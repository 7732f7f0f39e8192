"""What a program reads from its files of settings: ``yaml.safe_load(open("train.yaml"))``, OmegaConf, Hydra.

A file counts where its path stands in the code and the project has it. Its values are those of the next run unless somebody
changes them: defaults.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlcheck.facts.model import Attr, Call, Const, Expr, Mapping, Op, Other, Seq, dotted
from dlcheck.facts.settings_file import SUFFIXES
from dlcheck.program.values import External, Known, Made, Value, Values, join

if TYPE_CHECKING:
    from dlcheck.program.evaluate import Evaluator
    from dlcheck.program.scope import Scope

READERS = frozenset(
    {
        "yaml.load", "yaml.safe_load", "yaml.full_load", "yaml.unsafe_load", "json.load", "json.loads",
        "omegaconf.OmegaConf.load", "mmengine.Config.fromfile", "hydra.utils.OmegaConf.load",
    }
)  # fmt: skip
# What makes of a dict one whose keys are attributes.
WRAPPERS = frozenset(
    {
        "easydict.EasyDict", "omegaconf.OmegaConf.create", "omegaconf.OmegaConf.to_container", "omegaconf.DictConfig",
        "addict.Dict", "box.Box", "munch.Munch", "munch.munchify", "ml_collections.ConfigDict",
    }
)  # fmt: skip
NAMESPACES = frozenset({"types.SimpleNamespace", "argparse.Namespace"})
_FOLDERS = ("pathlib.Path", "os.path.join", "os.path.abspath", "builtins.str")
_READ = ("open", "read", "read_text", "read_bytes")
_MOST_FILES = 4


def settings_read(evaluator: Evaluator, call: Call, scope: Scope) -> Values:
    """What a call of one of the ``READERS`` gives; empty where the file is not known."""
    if not call.args:
        return ()
    found: list[Values] = []
    for path in list(_paths(evaluator, call.args[0], scope, 0))[:_MOST_FILES]:
        expr = _file(evaluator, path, scope.module.path)
        if expr is None:
            return ()
        found.append(evaluator.values(expr, scope.module.scope))
    return join(*found)


def hydra_settings(evaluator: Evaluator, function: Scope) -> Values:
    """What ``@hydra.main(config_path=..., config_name=...)`` hands to a function."""
    module = function.module
    for decorator in getattr(function.node, "decorators", ()):
        if not isinstance(decorator, Call):
            continue
        outside = function.parent or module.scope
        if External("hydra.main") not in evaluator.values(decorator.func, outside):
            continue
        given = dict(decorator.keywords)
        texts = {
            key: next(_texts(evaluator, given[key], outside, 0), "")
            for key in ("config_path", "config_name")
            if key in given
        }
        expr = _composed(evaluator, texts.get("config_path", ""), texts.get("config_name", ""), module.path)
        return evaluator.values(expr, module.scope) if expr is not None else ()
    return ()


def _composed(evaluator: Evaluator, folder: str, name: str, importer: str) -> Expr | None:
    """A file with the files of its ``defaults`` list: ``- data: imagenet`` is ``data/imagenet.yaml`` under ``data``."""
    path = posixpath.join(folder, name if name.endswith(SUFFIXES) else f"{name}.yaml")
    main = _file(evaluator, path, importer) if name else None
    if not isinstance(main, Mapping):
        return None
    items: list[tuple[Expr | None, Expr]] = []
    for key, value in main.items:
        if isinstance(key, Const) and key.value == "defaults" and isinstance(value, Seq):
            for group, chosen in _chosen(value):
                stem = chosen.removesuffix(".yaml")
                part = _file(evaluator, posixpath.join(folder, group, f"{stem}.yaml"), importer)
                if isinstance(part, Mapping) and group:
                    items.append((Const(group.rpartition("/")[2], part.at), part))
                elif isinstance(part, Mapping):
                    items += part.items
    return Mapping((*items, *main.items), main.at)


def _chosen(defaults: Seq) -> Iterator[tuple[str, str]]:
    for item in defaults.items:
        if isinstance(item, Mapping):
            for key, value in item.items:
                text = _scalar(value)
                if isinstance(key, Const) and isinstance(text, str):
                    yield str(key.value).removeprefix("override ").partition("@")[0].strip("/"), text
        elif isinstance(text := _scalar(item), str) and text != "_self_":
            yield "", text


def _scalar(expr: Expr) -> object:
    return expr.parts[0].value if isinstance(expr, Other) and isinstance(expr.parts[0], Const) else None


def _file(evaluator: Evaluator, path: str, importer: str) -> Expr | None:
    """The settings in a file, looked for from the folder of the code that names it outwards to the root."""
    if path.startswith("/") or not path.endswith(SUFFIXES):
        return None
    folder = posixpath.dirname(importer)
    while True:
        candidate = posixpath.normpath(posixpath.join(folder, path))
        if not candidate.startswith(".."):
            expr = evaluator.project.settings(candidate)
            if expr is not None:
                return expr
        if not folder:
            return None
        folder = posixpath.dirname(folder)


def _paths(evaluator: Evaluator, expr: Expr, scope: Scope, depth: int) -> Iterator[str]:
    """The paths of the files that an expression may be: a path, an open file, its text."""
    if isinstance(expr, Call) and isinstance(expr.func, Attr) and expr.func.attr in _READ:
        yield from _paths(evaluator, expr.func.base, scope, depth + 1)
        return
    known = list(_texts(evaluator, expr, scope, depth))
    if known:
        yield from known
        return
    for value in evaluator.values(expr, scope):
        yield from _opened(evaluator, value, depth + 1)


def _opened(evaluator: Evaluator, value: Value, depth: int) -> Iterator[str]:
    if depth > 4 or not isinstance(value, Made) or not isinstance(value.what, str):
        return
    last = value.what.rpartition(".")[2]
    if last == "open" and value.call.args:
        yield from _paths(evaluator, value.call.args[0], value.scope, depth)
    elif last in _READ:
        if value.receiver is not None:
            yield from _opened(evaluator, value.receiver, depth + 1)
    elif value.what in _FOLDERS:
        yield from _texts(evaluator, value.call, value.scope, depth)


def _texts(evaluator: Evaluator, expr: Expr, scope: Scope, depth: int) -> Iterator[str]:
    """The path that an expression spells; of ``Path(__file__).parent / "a.yaml"``, what is spelt of it."""
    if depth > 4:
        return
    match expr:
        case Const(value, _):
            if isinstance(value, str):
                yield value
        case Op("/", (left, right), _):
            for end in _texts(evaluator, right, scope, depth + 1):
                yield posixpath.join(next(_texts(evaluator, left, scope, depth + 1), ""), end)
        case Call(func, args, _, _) if args and dotted(func).rpartition(".")[2] in ("join", "Path", "str"):
            parts = [next(_texts(evaluator, arg, scope, depth + 1), "") for arg in args]
            if parts[-1]:
                yield posixpath.join(*(part for part in parts if part))
        case Attr(Call(), _, _):
            return  # ``Path(__file__).parent``
        case _:
            for found in evaluator.values(expr, scope):
                if isinstance(found, Known) and isinstance(found.value, str):
                    yield found.value
                elif isinstance(found, Made) and found.what in _FOLDERS:
                    yield from _texts(evaluator, found.call, found.scope, depth + 1)
