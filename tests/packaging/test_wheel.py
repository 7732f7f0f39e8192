"""The wheel alone, in an environment of its own, gives a working command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, status: int = 0, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=env
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what the source distribution holds."""
    (built,) = build(ROOT, tmp_path_factory.mktemp("dist")).glob("*.whl")
    return built


def build(sources: Path, folder: Path) -> Path:
    """Build both distributions of some sources in a folder."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    run(sys.executable, sources / ".ci" / "build", folder, cwd=folder, env=environment)
    return folder


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that holds the wheel and what it asks for."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    run(home / "bin" / "python", "-m", "pip", "install", "--quiet", wheel, cwd=home)
    return home / "bin"


def test_wheel_holds_package_and_rules(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"dlcheck"}
    shipped = {Path(name).name for name in names if name.startswith("dlcheck/rules/")}
    assert shipped == {rule.name for rule in (ROOT / "rules").glob("*.py")}
    assert {"dlcheck/py.typed", "dlcheck/probe/inject/sitecustomize.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_same_sources_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """From another folder, laid out at another time."""
    copy, again = tmp_path / "copy", tmp_path / "again"
    again.mkdir()
    for name in ("dlcheck", "rules", ".ci", "pyproject.toml", "README.md", "LICENSE"):
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    build(copy, again)
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in again.iterdir()} == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in wheel.parent.iterdir()
    }


def test_version(scripts: Path, tmp_path: Path) -> None:
    assert run(scripts / "dlcheck", "--version", cwd=tmp_path).startswith("dlcheck ")


def test_check_finds_faults_without_torch(scripts: Path, tmp_path: Path) -> None:
    run(scripts / "python", "-c", "import torch", cwd=tmp_path, status=1)
    project = ROOT / "fixtures" / "jpeg_classification" / "faulty"
    output = run(scripts / "dlcheck", "check", "--output-format", "json", project, cwd=tmp_path, status=1)
    assert {finding["rule"] for finding in json.loads(output)["findings"]} >= {"DLC102", "DLC201", "DLC205"}


def test_explain(scripts: Path, tmp_path: Path) -> None:
    assert "DLC102" in run(scripts / "dlcheck", "explain", "DLC102", cwd=tmp_path)


def test_every_module_imports_without_torch(scripts: Path, tmp_path: Path) -> None:
    script = (
        "import importlib, pkgutil, dlcheck\n"
        "for module in pkgutil.walk_packages(dlcheck.__path__, 'dlcheck.'):\n"
        "    *parents, last = module.name.split('.')\n"
        "    if not {'inject', 'server'} & set(parents) and last not in ('__main__', 'pytest_plugin'):\n"
        "        importlib.import_module(module.name)\n"
    )
    run(scripts / "python", "-c", script, cwd=tmp_path)
