"""Whose findings a run's report shows: of the files that it may have used."""

from __future__ import annotations

from pathlib import Path

from dlcheck.report.run_findings import imported


def test_other_programs_beside_the_script_are_left_out(tmp_path: Path) -> None:
    sources = {
        "train.py": "import data.folder\nfrom models import net\nmodule = 'late.plugin'\n",
        "data/__init__.py": "",
        "data/folder.py": "from . import crops\nfrom .text import *\n",
        "data/crops.py": "",
        "data/text.py": "",
        "data/unused.py": "",
        "models/net.py": "def broken(:\n",
        "late/plugin.py": "",
        "evaluate.py": "import data.unused\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = [tmp_path / name for name in sources]
    found = imported([tmp_path / "train.py"], files)
    assert set(files) - found == {tmp_path / "data/unused.py", tmp_path / "evaluate.py"}
