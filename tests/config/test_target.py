"""Which Python and torch a project is for, as its own files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcheck.config.settings import Settings
from dlcheck.config.target import Target, find_target

FILES = {
    "PEP 621": (
        {"pyproject.toml": '[project]\nrequires-python = ">=3.9,<3.14"\ndependencies = ["numpy", "torch >= 2.1, < 3"]\n'},
        Target((3, 9), (2, 1)),
    ),
    "an extra": (
        {"pyproject.toml": '[project]\nrequires-python = "~=3.10"\n[project.optional-dependencies]\nt = ["torch==2.3.*"]\n'},
        Target((3, 10), (2, 3)),
    ),
    "Poetry": (
        {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.10"\ntorch = {version = "^2.2", source = "cpu"}\n'},
        Target((3, 10), (2, 2)),
    ),
    "setup.py": (
        {"setup.py": 'setup(python_requires=">=3.8", install_requires=["torchvision>=0.1", "torch>=1.13"])\n'},
        Target((3, 8), (1, 13)),
    ),
    "setup.cfg": (
        {"setup.cfg": "[options]\npython_requires = >=3.14\ninstall_requires =\n    torch>=2.9\n"},
        Target((3, 14), (2, 9)),
    ),
    "requirements": (
        {"requirements.txt": "torchvision==0.20\ntorch-scatter>=2.0\ntorch>=2.5  # or so\n"},
        Target(None, (2, 5)),
    ),
    "nothing": ({"pyproject.toml": "[project]\nname = 'x'\ndependencies = ['torch']\n"}, Target()),
    "a broken file": ({"pyproject.toml": "[project\n"}, Target()),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), FILES.values(), ids=FILES.keys())
def test_declared(files: dict[str, str], expected: Target, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert find_target(tmp_path, Settings(tmp_path)) == expected


def test_settings_count_more(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nrequires-python = ">=3.9"\ndependencies = ["torch>=2.1"]\n'
    )
    settings = Settings(tmp_path, target_python="3.14", target_torch="2.10", start_method="spawn")
    assert find_target(tmp_path, settings) == Target((3, 14), (2, 10), "spawn")
