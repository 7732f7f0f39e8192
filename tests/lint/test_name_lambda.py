"""The fix of DLC304: a lambda becomes a function of its module, where its names mean the same there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.fixing import fix_all

HEAD = "import torch\nfrom torch.utils.data import DataLoader\n\nSCALE = 2\n"


def _fixed(source: str, folder: Path, select: str = "DLC304") -> str:
    path = folder / "train.py"
    path.write_text(source)

    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([path], folder, select=tuple(select.split(",")), overlay=overlay)

    assert check({}).findings
    fixed = fix_all(check, unsafe=True)
    assert not fixed.problems
    return fixed.changes[str(path)][1].decode() if fixed.changes else ""


def test_functions_and_methods(tmp_path: Path) -> None:
    source = (
        HEAD
        + "# makes loaders\nclass Data:\n    def loader(self, data, collate=None):\n"
        + "        return DataLoader(  # the loader\n            data,\n            num_workers=2,\n"
        + "            collate_fn=lambda items, pad=0: torch.stack(items) * SCALE\n            + pad,  # scaled\n"
        + "            worker_init_fn=lambda _: torch.manual_seed(\n                1\n            ),\n        )\n"
    )
    assert _fixed(source, tmp_path) == (
        HEAD
        + "\n\ndef collate_2(items, pad=0):\n    return (torch.stack(items) * SCALE\n        + pad)\n"
        + "\n\ndef init_worker(_):\n    return torch.manual_seed(\n            1\n        )\n"
        + "\n\n# makes loaders\nclass Data:\n    def loader(self, data, collate=None):\n"
        + "        return DataLoader(  # the loader\n            data,\n            num_workers=2,\n"
        + "            collate_fn=collate_2,  # scaled\n            worker_init_fn=init_worker,\n        )\n"
    )


def test_below_the_guard_and_with_a_guard_to_come(tmp_path: Path) -> None:
    line = "loader = DataLoader([1], num_workers=1, collate_fn=lambda items: items)\n"
    function = "\n\ndef collate(items):\n    return items\n\n\n"
    named = line.replace("lambda items: items", "collate")
    guard = 'if __name__ == "__main__":\n    '
    assert _fixed(f"{HEAD}{guard}{line}", tmp_path) == f"{HEAD}{function}{guard}{named}"
    loop = "for batch in loader:\n    pass\n"
    both = _fixed(HEAD + line + loop, tmp_path, "DLC304,DLC305")
    head = HEAD.replace("\nSCALE = 2\n", "")
    assert both.startswith(f"{head}{function}{guard}SCALE = 2\n    {named}    for batch")


@pytest.mark.parametrize(
    "lambda_",
    [
        "lambda items: items[:size]",  # of the function around it
        "lambda items, n=size: items[:n]",
        "lambda items: below(items)",  # workers do not run what is below the guard
        "lambda items: missing(items)",
    ],
)
def test_no_fix_where_names_would_mean_something_else(lambda_: str, tmp_path: Path) -> None:
    source = (
        f"{HEAD}def main(size):\n    return DataLoader([1], num_workers=1, collate_fn={lambda_})\n"
        'if __name__ == "__main__":\n    below = len\n    main(3)\n'
    )
    assert _fixed(source, tmp_path) == ""
