"""Every item looks a row up in a slow way: in a pandas object, by a mask over a whole frame, or by a search in a list.

`df.iloc[i]` builds a `Series` each time (about 50 microseconds, and more with mixed columns; an array needs
0.1); a boolean mask and `list.index` read all rows to find one, so that an epoch grows with the square of
the data set. Source: pandas documentation, *Enhancing performance*; braindecode issue 89 (7 times faster
end to end).

**Found:** in the item path, `.iloc[...]` or `.loc[...]` by an index that varies with the item, a frame
indexed by a comparison of one of its columns or asked by `query` (polars: `filter`), `list.index` on the list of all samples.

**Left alone:** `.iloc` on a frame that was made for this item; arrays; a search in a short list of classes. One cell
(`df["path"].iloc[i]`) has low confidence, as no `Series` is built for it, and so has one row beside an image or a sound
that the item decodes, which takes a hundred times longer.

**Cure:** arrays (`df["path"].to_numpy()`), lists or a dict made in `__init__`. **Versions:** all.
"""

import re
from collections.abc import Iterator

from dlcheck.facts.model import Attr, Call, Const, Expr, Name, Op, Seq, Sub, dotted, walk
from dlcheck.lint.rule import Report, Rule
from dlcheck.program import names
from dlcheck.program.items import ItemFunction, attribute_of_self, item_functions, made_by
from dlcheck.program.lazy import is_lazy
from dlcheck.program.paths import loop_around
from dlcheck.program.program import Program
from dlcheck.program.scope import Block, Scope

_COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">="})


def check(program: Program) -> Iterator[Report]:
    counted = _counted(program)
    for function in item_functions(program):
        if function.lazy:
            continue
        for sub, block in function.scope.subs:
            if is_lazy(block, function.scope, sub.at) or _by_name(function.scope, block):
                continue
            if function.scope.name == "__getitems__" and loop_around(block) is None:
                continue  # the rows of a batch, at once
            row = _row(sub, function)
            message = row or _mask(sub, function)
            if message:
                yield Report(
                    function.scope,
                    sub.at,
                    message,
                    help="make arrays, lists or a dict of what items need in `__init__`",
                    confidence="low" if row and _is_small(sub, function) else None,
                )
        for site in function.scope.calls:
            if _is_query(site.call, function):
                yield Report(
                    function.scope,
                    site.at,
                    f"`{dotted(site.call.func)}(...)` reads the whole table to find the rows of one item: "
                    "group the table once in `__init__` (`dict(list(df.groupby(...)))`)",
                    help="make arrays, lists or a dict of what items need in `__init__`",
                )
            if _searches(site.call, function, counted):
                yield Report(
                    function.scope,
                    site.at,
                    f"`{dotted(site.call.func)}` searches the list of all samples for every item: "
                    "make a dict from value to position in `__init__`",
                    help="`self.position = {value: i for i, value in enumerate(values)}` in `__init__`",
                )


def _row(sub: Sub, function: ItemFunction) -> str:
    base = sub.base
    if not isinstance(base, Attr) or base.attr not in ("iloc", "loc") or not function.varies(sub.index):
        return ""
    if not _is_place(sub.index) or (function.varies(base.base) and not _from_store(base.base, function)):
        return ""
    return (
        f"`.{base.attr}[...]` builds a pandas object for every item, which is hundreds of times slower than an array: "
        "take the columns out as arrays in `__init__`"
    )


def _by_name(scope: Scope, block: Block | None) -> bool:
    """A branch for an index that is no number (``if isinstance(key, str):``), as a loader never gives one."""
    given = {param.name for param in scope.params}
    for around in block.chain() if block is not None else ():
        for part in walk(around.node.test) if around.kind == "if" else ():
            if isinstance(part, Call) and dotted(part.func) == "isinstance" and len(part.args) == 2:
                kinds = [dotted(kind).lower() for kind in walk(part.args[1])]
                if dotted(part.args[0]) in given and not any("int" in kind for kind in kinds):
                    return True
    return False


def _is_small(sub: Sub, function: ItemFunction) -> bool:
    """Seldom worth a word: one cell, for which no row is built, or one row beside an image or a sound that is decoded."""
    index = sub.index
    if isinstance(index, Seq):
        return len(index.items) == 2 and isinstance(index.items[1], Const)
    frame = sub.base.base if isinstance(sub.base, Attr) else sub.base
    return _is_column(frame, function) or all(
        any(not call.lazy and not names.DECODERS.isdisjoint(call.names) for call in way.path.calls)
        for way in function.ways
    )


def _is_column(frame: Expr, function: ItemFunction) -> bool:
    """``df["path"]``, or an attribute that was set to one, or to ``df[path_column]`` with a parameter."""
    owner, attr = function.scope.owner, attribute_of_self(frame, function.scope)
    if not attr or owner is None:
        return _is_named_column(frame, set())
    stored = [(store, method) for method in owner.all_functions for store in method.stores]
    columns = [
        _is_named_column(store.value, {param.name for param in method.params})
        for store, method in stored
        if store.attr == attr
    ]
    return bool(columns) and all(columns)


def _is_named_column(expr: Expr, params: set[str]) -> bool:
    match expr:
        case Sub(_, Const(str(), _), _):
            return True
        case Sub(_, Name(name, _), _):
            return name in params
    return False


def _is_place(index: Expr) -> bool:
    """A row or a slice of rows; not a mask or a query, which takes a whole column to work out."""
    match index:
        case Seq(_, items, _):
            return bool(items) and _is_place(items[0])
        case Call(func, _, _, _):
            return dotted(func).rpartition(".")[2] in ("int", "item", "len", "str")
        case Op(op, _, _):
            return op not in _COMPARISONS and op not in ("&", "|", "not", "~")
    return True


def _from_store(expr: Expr, function: ItemFunction) -> bool:
    """A frame out of a collection that the dataset keeps: ``self.groups[k].iloc[i]``."""
    while isinstance(expr, Sub):
        expr = expr.base
    if isinstance(expr, Name):
        bindings = function.scope.bindings.get(expr.id, ())
        return (
            len(bindings) == 1
            and isinstance(bindings[0].value, Sub)
            and _from_store(bindings[0].value, function)
        )
    return bool(attribute_of_self(expr, function.scope))


def _mask(sub: Sub, function: ItemFunction) -> str:
    """``df[df["id"] == key]`` over a frame that does not vary with the item."""
    base = sub.base.base if isinstance(sub.base, Attr) and sub.base.attr == "loc" else sub.base
    name = dotted(base)
    if not name or function.varies(base) or not function.varies(sub.index):
        return ""
    for part in walk(sub.index):
        if isinstance(part, Op) and part.op in _COMPARISONS and _column_of(part.operands[0], name):
            return (
                "a boolean mask reads the whole table to find the rows of one item: "
                "group the table once in `__init__` (`dict(list(df.groupby(...)))`)"
            )
    return ""


def _is_query(call: Call, function: ItemFunction) -> bool:
    """``self.table.query("id == @key")`` or, of polars, ``.filter(...)``, where ``key`` depends on the item."""
    func = call.func
    if not isinstance(func, Attr) or not call.args or function.varies(func.base):
        return False
    package = {"query": "pandas.", "filter": "polars."}.get(func.attr)
    if package is None:
        return False
    made = made_by(function.evaluator.values(func.base, function.scope))
    if not any(name.startswith(package) for name in made):
        return False
    asked = call.args[0]
    if isinstance(asked, Const):
        named = re.findall(r"@(\w+)", str(asked.value))
        return any(function.varies(Name(name, asked.at)) for name in named)
    return function.varies(asked)


def _column_of(expr: Expr, frame: str) -> bool:
    while isinstance(expr, Call):
        expr = expr.func.base if isinstance(expr.func, Attr) else expr.func
    return isinstance(expr, (Sub, Attr)) and dotted(expr.base) == frame


def _searches(call: Call, function: ItemFunction, counted: set[str]) -> bool:
    func = call.func
    if not isinstance(func, Attr) or func.attr != "index" or len(call.args) != 1:
        return False
    return attribute_of_self(func.base, function.scope) in counted and function.varies(call.args[0])


def _counted(program: Program) -> set[str]:
    """The attributes whose length is that of a dataset."""
    out: set[str] = set()
    for dataset in program.datasets:
        method = dataset.evaluator.method(dataset.cls, "__len__")
        for expr, _ in method.returns if method is not None else ():
            if isinstance(expr, Call) and len(expr.args) == 1:
                out.add(attribute_of_self(expr.args[0], method))  # type: ignore[arg-type]
    return out - {""}


RULE = Rule(
    code="DLC107",
    name="slow-row-access",
    severity="info",
    check=check,
    page=__doc__ or "",
    causes=("fetch-cpu",),
    found=(
        """
        import pandas as pd
        import torch
        from torch.utils.data import Dataset

        class Sensors(Dataset):
            def __init__(self, path, inputs):
                self.table = pd.read_csv(path)
                self.inputs = inputs
            def __len__(self):
                return len(self.table)
            def __getitem__(self, idx):
                row = self.table.iloc[idx]  # <- DLC107
                return torch.from_numpy(row[self.inputs].to_numpy("float32")), row["label"]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Groups(Dataset):
            def __init__(self, path, size):
                frame = pd.read_csv(path)
                self.groups = list(frame.groupby("id"))
                self.size = size
            def __getitem__(self, idx):
                group = self.groups[idx // self.size][1]
                rows = group.iloc[idx % self.size : idx % self.size + 10]  # <- DLC107
                return rows.to_numpy()
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Users(Dataset):
            def __init__(self, path):
                self.df = pd.read_csv(path)
                self.users = self.df["user"].unique()
            def __len__(self):
                return len(self.users)
            def __getitem__(self, idx):
                user = self.users[idx]
                return self.df[self.df["user"] == user].to_numpy()  # <- DLC107
        """,
        """
        import random
        from torch.utils.data import Dataset

        class Pairs(Dataset):
            def __init__(self, names):
                self.names = list(names)
            def __len__(self):
                return len(self.names)
            def __getitem__(self, idx):
                other = random.choice(self.names)
                return idx, self.names.index(other)  # <- DLC107
        """,
    ),
    clean=(
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Texts(Dataset):
            def __init__(self, path):
                table = pd.read_csv(path)
                self.texts = table["text"]
            def __getitem__(self, idx):
                return self.texts.iloc[idx]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Table(Dataset):
            def __init__(self, path):
                self.frame = pd.read_csv(path)
                self.values = self.frame.to_numpy()
            def __len__(self):
                return len(self.values)
            def __getitem__(self, key):
                if isinstance(key, str):
                    return self.frame.loc[:, key], self.frame.loc[[key]]
                elif isinstance(key, (list, tuple)):
                    return self.frame.loc[key]
                return self.values[key]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset
        from torchvision.io import read_image

        class Images(Dataset):
            def __init__(self, annotations):
                self.labels = pd.read_csv(annotations)
            def __len__(self):
                return len(self.labels)
            def __getitem__(self, idx):
                return read_image(self.labels["path"].iloc[idx]), self.labels.iloc[idx, 1]
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Shards(Dataset):
            def __init__(self, table):
                self.table, self.shards = table, [None] * len(table)
            def __len__(self):
                return len(self.table)
            def __getitem__(self, index):
                if self.shards[index] is not None:
                    return self.shards[index]
                self.shards[index] = np.load(self.table.iloc[index]["path"])
                return self.shards[index]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Rows(Dataset):
            def __init__(self, path):
                frame = pd.read_csv(path)
                self.paths = frame["path"].tolist()
                self.labels = frame["label"].to_numpy()
            def __getitem__(self, idx):
                return self.paths[idx], self.labels[idx]
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Series(Dataset):
            def __init__(self, files):
                self.files = files
            def __getitem__(self, idx):
                frame = pd.read_csv(self.files[idx])
                return frame.iloc[len(frame) // 2 :].to_numpy()
        """,
        """
        from torch.utils.data import Dataset

        class Labels(Dataset):
            classes = ["cat", "dog", "bird"]
            def __init__(self, names):
                self.names = names
            def __len__(self):
                return len(self.names)
            def __getitem__(self, idx):
                return self.classes.index(self.names[idx])
        """,
        """
        import numpy as np
        from torch.utils.data import Dataset

        class Masked(Dataset):
            def __init__(self, images):
                self.images = images
            def __getitem__(self, idx):
                image = self.images[idx]
                image = image[image > 0]
                return image.mean()
        """,
        """
        import pandas as pd
        from torch.utils.data import Dataset

        class Split(Dataset):
            def __init__(self, path, part):
                frame = pd.read_csv(path)
                self.rows = frame.loc[frame["part"] == part].to_numpy()
            def __getitem__(self, idx):
                return self.rows[idx]
        """,
    ),
)
