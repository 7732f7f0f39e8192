"""The fix of DLC305: what is guarded, what stays where workers find it, and what is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.fixing import fix_all

SCRIPT = """\
import torch
from torch.utils.data import DataLoader, Dataset

SCALE = 3
unused = 5


class Scaled(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return i * SCALE


# The training
total = 0

# each batch
for batch in DataLoader(Scaled(), num_workers=1, multiprocessing_context="spawn"):
    total += int(batch)
    import os
print(total)
"""


def _fixed(folder: Path) -> str:
    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([folder], folder, select=("DLC305",), overlay=overlay)

    assert check({}).findings
    fixed = fix_all(check, unsafe=True)
    assert not fixed.problems
    return next((after.decode() for _, after in fixed.changes.values()), "")


def _run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_the_script_runs_where_workers_are_spawned(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    assert _run(script).returncode != 0
    script.write_text(_fixed(tmp_path))
    after = _run(script)
    assert after.returncode == 0, after.stderr
    assert after.stdout == f"18{os.linesep}"


def test_what_is_guarded(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    above, _, guarded = _fixed(tmp_path).partition('if __name__ == "__main__":\n')
    assert SCRIPT.startswith(above)
    assert above.endswith("return i * SCALE\n\n\n")
    assert guarded.startswith("    # The training\n    total = 0\n\n    # each batch\n    for batch in")


def test_what_workers_use_stays_above(tmp_path: Path) -> None:
    late = SCRIPT.replace("SCALE = 3\n", "").replace("# each batch", "SCALE = 3\n# each batch")
    (tmp_path / "train.py").write_text(late)
    above, _, guarded = _fixed(tmp_path).partition('if __name__ == "__main__":\n')
    assert above.endswith("total = 0\n\nSCALE = 3\n")
    assert guarded.startswith("    # each batch\n    for batch in")


@pytest.mark.parametrize(
    "end",
    [
        "def later():\n    return total\n",  # a definition below the loop: workers may need it
        "class Other(Scaled):\n    pass\n",
        "if total:\n    def later():\n        return total\n",
    ],
)
def test_no_fix_above_definitions(end: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT + end)
    assert _fixed(tmp_path) == ""


def test_no_fix_that_is_not_enough(tmp_path: Path) -> None:
    twice = SCRIPT.replace("SCALE = 3", 'SCALE = 3\ntorch.multiprocessing.set_start_method("spawn")')
    (tmp_path / "train.py").write_text(twice)
    assert _fixed(tmp_path) == ""


def test_no_fix_where_others_import_the_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "report.py").write_text("import torch.utils.data\nfrom train import total\n")
    assert _fixed(tmp_path) == ""
