"""``dlcheck check`` in everyday use: what a user of ruff expects, feature by feature."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlcheck.cli.main import main

HEAD = "import itertools\nfrom torch.utils.data import DataLoader\n\n\n"
FAULTY = HEAD + "def forever(d):\n    return itertools.cycle(DataLoader(d))\n"
CLEAN = HEAD + "def once(d):\n    return DataLoader(d)\n"
LOOP = (
    HEAD
    + "def train(d):\n    loader = DataLoader(d, num_workers=2)\n    for x in loader:\n        x.cuda()\n"
)
OWN_RULE = '''\
"""Loaders are named."""

from dlcheck.lint.rule import Report, Rule


def check(program):
    for loader in program.loaders:
        yield Report(loader.scope, loader.at, "a loader of our own", help="name it")


RULE = Rule(code="OUR001", name="named-loader", severity="warning", check=check, page=__doc__, found=(), clean=())
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLCHECK_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    Path("dlcheck.toml").touch()


class Outcome:
    """What a call of the command line did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def rules(self) -> list[str]:
        return [finding["rule"] for finding in json.loads(self.out)["findings"]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = main(["check", *arguments])
        return Outcome(status, *capsys.readouterr())

    return call


def findings(run, *arguments: str) -> list[str]:  # type: ignore[no-untyped-def]
    return run("--output-format", "json", *arguments).rules


# Exit status and output


def test_exit_status(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(CLEAN)
    assert run().status == 0
    Path("a.py").write_text(FAULTY)
    assert run().status == 1
    assert run("--exit-zero").status == 0
    assert run("nowhere.py").status == 2
    assert run("--select", "NONE1").status == 2
    Path("a.py").write_text("import torch.utils.data\ndef (:\n")
    assert run().status == 1


def test_options_and_files_in_any_order(run) -> None:  # type: ignore[no-untyped-def]
    for name in ("a.py", "b.py", "c.py"):
        Path(name).write_text(FAULTY)
    assert len(findings(run, "a.py", "--exit-zero", "b.py", "--quiet", "c.py")) == 3
    with pytest.raises(SystemExit, match="2"):
        run("a.py", "--exit-zero", "b.py", "--no-such-option")


def test_exit_code_from(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(LOOP)  # a warning
    assert run("--exit-code-from", "info").status == 1
    assert run("--exit-code-from", "warning").status == 1
    assert run("--exit-code-from", "error").status == 0
    Path("a.py").write_text(FAULTY)  # an error
    assert run("--exit-code-from", "error").status == 1


def test_quiet_and_statistics(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY)
    assert run("--output-format", "concise", "--quiet").out.splitlines()[1:] == []
    assert run("--statistics", "--quiet").out == "1  DLC503      cycled-loader\n"
    Path("a.py").write_text(CLEAN)
    assert run("--quiet").out == ""


def test_output_file(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY)
    outcome = run("--output-format", "sarif", "--output-file", "out.sarif")
    assert (outcome.status, outcome.out) == (1, "")
    assert json.loads(Path("out.sarif").read_text())["version"] == "2.1.0"
    assert run("--output-file", "no/such/folder").status == 2


@pytest.mark.parametrize(
    ("environment", "options", "coloured"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({}, ("--color", "always"), True),
        ({"FORCE_COLOR": "1"}, ("--color", "never"), False),
    ],
)
def test_colours(run, environment, options, coloured, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in run(*options).out) == coloured


def test_colours_on_a_terminal() -> None:
    Path("a.py").write_text(FAULTY)

    def shown(**environment: str) -> bytes:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "dlcheck", "check", "a.py"]
        process = subprocess.Popen(command, stdout=theirs, env={**os.environ, "TERM": "xterm", **environment})
        os.close(theirs)
        text = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                text += os.read(ours, 65536)
            except OSError:
                break
        process.wait()
        os.close(ours)
        return text

    assert b"\x1b[" in shown()
    assert b"\x1b[" not in shown(NO_COLOR="1")
    assert b"\x1b[" not in shown(TERM="dumb")


# Choosing rules


def test_select_and_ignore(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY + LOOP.removeprefix(HEAD))
    assert findings(run) == ["DLC503", "DLC201"]
    assert findings(run, "--select", "DLC2") == ["DLC201"]
    assert findings(run, "--select", "DLC2,cycled-loader") == ["DLC503", "DLC201"]
    assert findings(run, "--ignore", "DLC5") == ["DLC201"]
    Path("dlcheck.toml").write_text('ignore = ["DLC2"]\n')
    assert findings(run) == ["DLC503"]
    assert findings(run, "--extend-select", "DLC201") == ["DLC503", "DLC201"]
    assert findings(run, "--select", "DLC201") == ["DLC201"]
    assert findings(run, "--ignore", "DLC503") == []
    assert findings(run, "--isolated") == ["DLC503", "DLC201"]


def test_severity_and_confidence(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY + LOOP.removeprefix(HEAD))
    assert findings(run, "--min-severity", "error") == ["DLC503"]
    assert set(findings(run, "--min-confidence", "low")) >= {"DLC503", "DLC201"}
    assert findings(run, "--min-confidence", "high") == findings(run, "--config", 'min-confidence = "high"')


def test_per_file_ignores(run) -> None:  # type: ignore[no-untyped-def]
    Path("tests").mkdir()
    Path("tests/a.py").write_text(FAULTY)
    Path("a.py").write_text(FAULTY)
    Path("dlcheck.toml").write_text('per-file-ignores = {"tests/*" = ["DLC5"]}\n')
    assert findings(run) == ["DLC503"]
    assert findings(run, "tests") == []
    assert findings(run, "--per-file-ignores", "a.py:cycled-loader") == []


def test_nested_settings(run) -> None:  # type: ignore[no-untyped-def]
    Path("inner").mkdir()
    Path("inner/a.py").write_text(FAULTY)
    Path("a.py").write_text(FAULTY)
    Path("inner/dlcheck.toml").write_text('ignore = ["DLC503"]\n')
    assert findings(run) == ["DLC503"]
    assert findings(run, "--config", "dlcheck.toml") == ["DLC503", "DLC503"]


def test_own_rules(run, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    Path("lint").mkdir()
    Path("lint/our001_named_loader.py").write_text(OWN_RULE)
    Path("lint/helpers.py").write_text("raise RuntimeError\n")
    Path("a.py").write_text(CLEAN)
    assert findings(run) == []
    Path("dlcheck.toml").write_text('rules = ["lint"]\nselect = ["OUR", "DLC5"]\n')
    assert findings(run) == ["OUR001"]
    assert findings(run, "--select", "OUR001") == ["OUR001"]
    assert findings(run, "--ignore", "named-loader") == []
    capsys.readouterr()
    assert main(["rules"]) == 0
    assert "OUR001  named-loader" in capsys.readouterr().out
    assert main(["explain", "OUR001"]) == 0
    assert "# OUR001 named-loader" in capsys.readouterr().out
    Path("a.py").write_text(CLEAN.replace("DataLoader(d)\n", "DataLoader(d)  # dlcheck: ignore[OUR001]\n"))
    assert findings(run) == []
    assert "rules" in json.loads(run("--output-format", "sarif").out)["runs"][0]["tool"]["driver"]


def test_examples_of_own_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--test"]) == 2
    Path("dlcheck.toml").write_text('rules = ["our001_named_loader.py"]\n')
    loader = "from torch.utils.data import DataLoader\nx = DataLoader([1])"
    path = Path("our001_named_loader.py")
    path.write_text(
        OWN_RULE.replace("found=(), clean=()", f"found=({loader + '  # <- OUR001'!r},), clean=('x = 1',)")
    )
    capsys.readouterr()
    assert main(["rules", "--test"]) == 0
    assert capsys.readouterr().out == "1 rule, 2 examples, 0 failures.\n"


def test_examples_of_own_rules_that_fail() -> None:
    from dlcheck.lint.examples import failures
    from dlcheck.lint.registry import own_rules

    loader = "from torch.utils.data import DataLoader\nx = DataLoader([1])"
    path = Path("our002_named_loader.py").absolute()
    examples = f"found=({loader!r}, 'x = 1  # <- OUR002', 'x = ('), clean=({loader!r},)"
    path.write_text(OWN_RULE.replace("OUR001", "OUR002").replace("found=(), clean=()", examples))
    (rule,) = own_rules((path,))
    assert list(failures(rule, (path,))) == [
        "OUR002 found[0]: no line is marked with '# <- OUR002'",
        "OUR002 found[0]: example.py:2 is found, and should not be",
        "OUR002 found[1]: example.py:1 is not found",
        "OUR002 found[2]: cannot be parsed: '(' was never closed",
        "OUR002 clean[0]: example.py:2 is found, and should not be",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("RULE = 1\n", "holds no RULE"),
        ("import nowhere_to_be_found\n", "cannot be imported: ModuleNotFoundError"),
        (OWN_RULE.replace("OUR001", "DLC101"), "DLC101 is a rule of dlcheck's own"),
        (OWN_RULE.replace("named-loader", "other"), "must be called our001_other.py"),
    ],
)
def test_own_rules_that_cannot_be_used(run, content: str, message: str) -> None:  # type: ignore[no-untyped-def]
    Path("our001_named_loader.py").write_text(content)
    Path("dlcheck.toml").write_text('rules = ["our001_named_loader.py"]\n')
    outcome = run()
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_rule_that_breaks_down_loses_nothing_else(run) -> None:  # type: ignore[no-untyped-def]
    Path("our001_named_loader.py").write_text(
        OWN_RULE.replace("        yield", "        len(1)\n        yield")
    )
    Path("dlcheck.toml").write_text('rules = ["our001_named_loader.py"]\n')
    Path("a.py").write_text(FAULTY)
    outcome = run("--exit-zero")
    assert outcome.status == 2 and "DLC503" in outcome.out
    assert "dlcheck: internal error in OUR001" in outcome.err and "Traceback" not in outcome.err


# Settings


def test_bad_settings(run) -> None:  # type: ignore[no-untyped-def]
    Path("dlcheck.toml").write_text('selct = ["DLC1"]\nfix = 1\n')
    outcome = run()
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        "dlcheck: dlcheck.toml:1: there is no setting 'selct'; did you mean 'select'?\n"
        "dlcheck: dlcheck.toml:2: fix: true or false is needed, not a number\n"
    )
    assert run("--isolated").status == 0
    assert run("--isolated", "--config", "x =").status == 2
    assert run("--isolated", "--config", "nowhere.toml").status == 2
    outcome = run("--isolated", "--config", "line-length = 100")
    assert outcome.err.startswith("dlcheck: --config there is no setting 'line-length'")


def test_show_settings_and_files(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY)
    Path("b.py").write_text(FAULTY)
    Path("dlcheck.toml").write_text('exclude = ["b.py"]\n')
    outcome = run("--show-settings", "--select", "DLC1")
    assert outcome.status == 0
    assert "# from dlcheck.toml\n" in outcome.out
    assert 'select = ["DLC1"]\n' in outcome.out
    assert run("--show-files").out == "a.py\n"


def test_cache_dir(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(FAULTY)
    os.utime("a.py", (1, 1))
    run("--no-cache")
    assert not Path("cache").exists()
    run("--cache-dir", "other")
    assert not Path("cache").exists()
    assert list(Path("other").iterdir())
    run()
    assert list(Path("cache").iterdir())


# Fixes


def test_fix_and_diff(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text(LOOP)
    outcome = run("--diff")
    assert outcome.status == 1
    assert "+    loader = DataLoader(d, num_workers=2, pin_memory=True)" in outcome.out
    assert Path("a.py").read_text() == LOOP
    Path("dlcheck.toml").write_text("fix = true\n")
    assert run("--no-fix").status == 1
    assert Path("a.py").read_text() == LOOP
    assert run().status == 0
    assert "pin_memory=True" in Path("a.py").read_text()


def test_a_suppressed_finding_is_not_fixed(run) -> None:  # type: ignore[no-untyped-def]
    source = LOOP.replace("num_workers=2)\n", "num_workers=2)  # dlcheck: ignore[DLC201] no pinning\n")
    Path("a.py").write_text(source)
    assert run("--fix").status == 0
    assert Path("a.py").read_text() == source


def test_a_file_that_cannot_be_written(run) -> None:  # type: ignore[no-untyped-def]
    Path("locked").mkdir()
    Path("locked/a.py").write_text(LOOP)
    source = Path("locked/a.py")
    if os.geteuid() == 0:
        # The superuser writes everywhere: a link to a file that is gone by then stands in for it.
        shutil.rmtree("locked")
        Path("locked").mkdir()
        source.write_text(LOOP)
        subprocess.run(["chattr", "+i", "locked"], check=False, capture_output=True)
        try:
            probe = Path("locked/x")
            probe.touch()
            pytest.skip("nothing keeps the superuser from writing here")
        except PermissionError:
            pass
    else:
        Path("locked").chmod(0o500)
    try:
        outcome = run("--fix", "locked")
        assert "Permission" in outcome.err or "not permitted" in outcome.err
        assert source.read_text() == LOOP
    finally:
        subprocess.run(["chattr", "-i", "locked"], check=False, capture_output=True)
        Path("locked").chmod(0o700)


# Standard input


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_stdin(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    feed(monkeypatch, FAULTY.encode())
    outcome = run("-", "--output-format", "concise")
    assert outcome.status == 1
    assert outcome.out.startswith("stdin.py:6:12: DLC503")


def test_stdin_filename_takes_the_place_of_the_file(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    Path("src").mkdir()
    Path("src/a.py").write_text(FAULTY)
    Path("dlcheck.toml").write_text('per-file-ignores = {"src/*" = ["DLC2"]}\n')
    feed(monkeypatch, CLEAN.encode())
    assert run("-", "--stdin-filename", "src/a.py").status == 0
    feed(monkeypatch, FAULTY.encode() + b"\n" + LOOP.removeprefix(HEAD).encode())
    assert findings(run, "--stdin-filename", "src/new.py") == ["DLC503"]
    feed(monkeypatch, b"")
    assert run("-", "--stdin-filename", "src/a.py", "other.py").status == 2
    assert run("-", "--add-ignores").status == 2


def test_stdin_sees_the_project(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    Path("loaders.py").write_text(
        "from torch.utils.data import DataLoader\n\n\ndef make(d):\n    return DataLoader(d)\n"
    )
    feed(monkeypatch, b"import itertools\nfrom loaders import make\n\nx = itertools.cycle(make([1]))\n")
    assert findings(run, "-", "--stdin-filename", "train.py") == ["DLC503"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_stdin_fix(run, monkeypatch: pytest.MonkeyPatch, end: str) -> None:  # type: ignore[no-untyped-def]
    source = LOOP.replace("\n", end)
    feed(monkeypatch, source.encode())
    outcome = run("-", "--fix")
    assert (
        outcome.out.replace("\r\n", "\n").replace(", pin_memory=True", "").replace("non_blocking=True", "")
        == LOOP
    )
    assert outcome.out.count(end) == source.count(end)
    assert "pin_memory=True" in outcome.out
    assert "No findings" in outcome.err
    feed(monkeypatch, b"x = (\n")
    assert run("-", "--fix").out == "x = (\n"


# Notebooks


def notebook(*cells: str, kind: str = "python") -> str:
    entries: list[dict[str, object]] = [{"cell_type": "markdown", "metadata": {}, "source": ["# Title"]}]
    for cell in cells:
        entries.append(
            {
                "cell_type": "code",
                "execution_count": 1,
                "metadata": {},
                "outputs": [],
                "source": cell.splitlines(keepends=True),
            }
        )
    metadata = {"kernelspec": {"language": kind}}
    return (
        json.dumps(
            {"cells": entries, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5},
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


MAGICS = (
    "%load_ext autoreload\n!pip install torch\nfiles = !ls\nimport itertools\n"
    "from torch.utils.data import DataLoader\nif files:\n    %time x = 1\ntorch?\nlabel = 'ü'"
)


def test_notebook(run) -> None:  # type: ignore[no-untyped-def]
    Path("n.ipynb").write_text(notebook(MAGICS, "%%bash\nls", "%%time\nx = itertools.cycle(DataLoader([1]))"))
    outcome = run("--output-format", "concise")
    assert outcome.out.startswith("n.ipynb:cell 4:2:5: DLC503")
    assert not outcome.err


def test_notebook_of_another_language(run) -> None:  # type: ignore[no-untyped-def]
    Path("n.ipynb").write_text(notebook("x <- DataLoader(1)", kind="R"))
    outcome = run()
    assert (outcome.status, outcome.err) == (0, "")


def test_broken_notebooks(run) -> None:  # type: ignore[no-untyped-def]
    Path("n.ipynb").write_text(notebook(MAGICS, "x = DataLoader(", "y = 1"))
    outcome = run()
    assert outcome.status == 1
    assert outcome.err == "n.ipynb:cell 3:1:15: cannot be parsed: '(' was never closed\n"
    Path("n.ipynb").write_text('{"DataLoader": 1}')
    assert run().err == "n.ipynb:1:1: is not a notebook of format 4\n"


def test_fix_in_a_notebook(run) -> None:  # type: ignore[no-untyped-def]
    text = notebook(MAGICS, LOOP.removeprefix(HEAD).rstrip(), "%%bash\nDataLoader", "%matplotlib inline")
    Path("n.ipynb").write_text(text)
    assert run("--fix").status == 0
    after = Path("n.ipynb").read_text()
    assert after == text.replace("num_workers=2)", "num_workers=2, pin_memory=True)").replace(
        "x.cuda()", "x.cuda(non_blocking=True)"
    )


def test_notebook_from_stdin(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    text = notebook(MAGICS, "x = itertools.cycle(DataLoader([1]))")
    feed(monkeypatch, text.encode())
    (finding,) = json.loads(run("-", "--stdin-filename", "n.ipynb", "--output-format", "json").out)[
        "findings"
    ]
    assert (finding["cell"], finding["line"]) == (3, 1)


# Files of every kind


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("latin-1", "# -*- coding: latin-1 -*-\n"),
        ("cp1252", "# vim: set fileencoding=cp1252 :\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encodings_and_line_ends(run, encoding: str, head: str, end: str) -> None:  # type: ignore[no-untyped-def]
    source = head + HEAD + "def für(d):\n    é = 'ü'; return itertools.cycle(DataLoader(d))  # größer\n"
    Path("a.py").write_bytes(source.replace("\n", end).encode(encoding))
    outcome = run("--output-format", "full")
    line = 6 + head.count("\n")
    assert outcome.out.startswith(f"a.py:{line}:21: DLC503")
    assert "é = 'ü'; return itertools.cycle(DataLoader(d))  # größer" in outcome.out
    assert run("--add-ignores", "so").status == 0
    after = Path("a.py").read_bytes().decode(encoding)
    assert after.replace(end, "\n") == source.replace("# größer", "# größer  # dlcheck: ignore[DLC503] so")
    assert run().status == 0


def test_form_feeds_are_no_lines(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text("\x0c\n" + FAULTY.replace("def", "\x0cdef"))
    assert run("--output-format", "concise").out.startswith("a.py:7:12: DLC503")


def test_a_terminal_that_cannot_show_it() -> None:
    Path("a.py").write_text(FAULTY.replace("forever", "für_immer").replace("(d)", "(größe)"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "dlcheck", "check", "a.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "gr\\xf6\\xdfe" in done.stdout
    assert done.stderr == ""


def test_a_reader_that_goes_away() -> None:
    for number in range(40):
        Path(f"m{number}.py").write_text(FAULTY * 20)
    done = subprocess.run(
        f"{sys.executable} -m dlcheck check --no-cache . | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DLC503" in done.stdout
    assert done.stderr == ""


# Completion


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_in_bash(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    Path("completion.bash").write_text(capfd.readouterr().out)

    def complete(*words: str) -> set[str]:
        script = (
            f"source ./completion.bash; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            '_shtab_dlcheck 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        return set(
            subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()
        )

    assert complete("dlcheck", "re") == {"review", "report"}
    assert complete("dlcheck", "check", "--output-f") == {"--output-format", "--output-file"}
    assert complete("dlcheck", "check", "--output-format", "s") == {"sarif"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_in_other_shells(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capfd.readouterr().out
    assert "changed-since" in script
    if shutil.which(shell):
        Path("script").write_text(script)
        subprocess.run([shell, "-n", "script"], check=True)


# Long checks and large files


def test_progress_is_shown_on_a_terminal_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dlcheck.cli import progress

    monkeypatch.setattr(progress, "_AFTER_S", 0.01)
    monkeypatch.setattr(progress, "_EVERY_S", 0.01)

    def shown(quiet: bool) -> str:
        with progress.shown_progress(quiet):
            deadline = time.monotonic() + 30
            while "Checking" not in (text := capsys.readouterr().err) and time.monotonic() < deadline:
                if quiet or not sys.stderr.isatty():
                    break
        return text + capsys.readouterr().err

    assert shown(quiet=False) == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert shown(quiet=True) == ""
    text = shown(quiet=False)
    assert "Checking, 0 s" in text
    assert text.endswith("\r\x1b[2K")


def test_huge_files(run) -> None:  # type: ignore[no-untyped-def]
    """Megabytes that say nothing about data loading are not parsed, and hide nothing."""
    Path("table.py").write_text("TABLE = [\n" + "    0.125, 0.25, 0.5,\n" * 500_000 + "]\n")
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [{"data": "A" * 20_000_000}]}
    Path("n.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4}))
    Path("a.py").write_text(FAULTY)
    assert findings(run) == ["DLC503"]


def test_nesting_too_deep_for_the_parser(run) -> None:  # type: ignore[no-untyped-def]
    Path("a.py").write_text("from torch.utils.data import DataLoader\nx = " + "(" * 5000 + ")" * 5000 + "\n")
    Path("b.py").write_text(FAULTY)
    outcome = run("--output-format", "json")
    assert outcome.rules == ["DLC503"]
    (error,) = json.loads(outcome.out)["errors"]
    assert error["file"] == "a.py"


def test_the_start_method_counts(run) -> None:  # type: ignore[no-untyped-def]
    source = (
        "from torch.utils.data import DataLoader, Dataset\n\n\n"
        "class Squares(Dataset):\n    def __init__(self):\n        self.f = lambda x: x * x\n\n"
        "    def __getitem__(self, i):\n        return self.f(i)\n\n    def __len__(self):\n        return 9\n\n\n"
        "def main():\n    for x in DataLoader(Squares(), num_workers=2):\n        print(x)\n"
    )
    Path("a.py").write_text(source)

    def severities(*arguments: str) -> list[str]:
        found = json.loads(run("--select", "DLC304", "--output-format", "json", *arguments).out)["findings"]
        return [finding["severity"] for finding in found]

    assert severities("--start-method", "spawn") == ["error"]
    assert severities("--start-method", "spawn") != severities("--start-method", "fork")
    Path("pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.14"\n')
    assert severities() == ["error"]
