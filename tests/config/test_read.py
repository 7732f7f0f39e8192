"""Settings files: what is read, what is wrong, and that the message names the file, the line and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcheck.config.options import OPTIONS
from dlcheck.config.read import ConfigError, read_layers
from dlcheck.config.resolve import Resolver
from dlcheck.config.show import show_settings
from dlcheck.config.toml import loads

WRONG = {
    "an unknown key": (
        '[tool.dlcheck]\n\n# rules\nselct = ["DLC1"]\n',
        ":4: there is no setting 'selct'; did you mean 'select'?",
    ),
    "an unknown key like nothing": (
        "[tool.dlcheck]\nzzzz = 1\n",
        ":2: there is no setting 'zzzz'; there are extend, rules,",
    ),
    "a table that is not ours": ("[tool.dlcheck.lint]\nselect = []\n", ":1: there is no setting 'lint'"),
    "a code": (
        '[tool.dlcheck]\nselect = [\n    "DLC1",\n    "DLC99",  # new\n]\n',
        ":4: select: no rule has the code, prefix or name 'DLC99'; did you mean 'DLC",
    ),
    "a name": (
        '[tool.dlcheck]\nignore = ["cycled-loaders"]\n',
        ":2: ignore: no rule has the code, prefix or name 'cycled-loaders'; did you mean 'cycled-loader'?",
    ),
    "a string for a list": (
        '[tool.dlcheck]\nselect = "DLC1"\n',
        ":2: select: a list of strings is needed, not a string",
    ),
    "a number in a list": (
        "[tool.dlcheck]\nexclude = [\n  'a',\n  3,\n]\n",
        ":4: exclude: a list of strings is needed, and 3 is a number",
    ),
    "a word": (
        '[tool.dlcheck]\nmin-severity = "warn"\n',
        ":2: min-severity: one of 'info', 'warning', 'error' is needed, not 'warn'; did you mean 'warning'?",
    ),
    "a flag": ('[tool.dlcheck]\nfix = "yes"\n', ":2: fix: true or false is needed, not a string"),
    "a version": (
        "[tool.dlcheck]\ntarget-python = 3.10\n",
        ':2: target-python: a version such as "3.10" is needed, in quotes, not 3.1',
    ),
    "a pattern": ('[tool.dlcheck]\nexclude = ["!"]\n', ":2: exclude: '!' is no pattern of paths"),
    "a path": ('[tool.dlcheck]\nrules = ["lint/mine"]\n', ":2: rules: no such file or folder: lint/mine"),
    "a code in a table": (
        '[tool.dlcheck.per-file-ignores]\n"a/*" = ["DLC1"]\n"tests/*" = ["DLCX"]\n',
        ":3: per-file-ignores: no rule has the code, prefix or name 'DLCX'",
    ),
    "no TOML": ("[tool.dlcheck]\nselect = [\n", ":2: this is not TOML"),
    "no TOML in the middle": ("[tool.dlcheck]\nselect =\nignore = []\n", ":2: this is not TOML"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_its_line(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        Resolver().settings(tmp_path)
    assert str(caught.value).startswith(f"pyproject.toml{message}")


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "dlcheck.toml"
    path.write_text('selct = []\nfix = 1\nmin-confidence = "hi"\n')
    with pytest.raises(ConfigError) as caught:
        read_layers(path)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in lines] == ["1", "2", "3"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"select = ['\xe4']"])
def test_a_file_of_another_encoding(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dlcheck.toml").write_bytes(content)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        Resolver().settings(tmp_path)


def test_a_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    (tmp_path / "dlcheck.toml").write_bytes(b'\xef\xbb\xbfselect = ["DLC1"]\r\nfix = true\r\n')
    settings = Resolver().settings(tmp_path)
    assert settings.select == ("DLC1",)
    assert settings.fix


def test_nearest_file_counts(tmp_path: Path) -> None:
    inner = tmp_path / "packages" / "vision" / "src"
    inner.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[tool.dlcheck]\nignore = ["DLC1"]\n')
    (inner.parent / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert Resolver().settings(inner).ignore == ("DLC1",)
    (inner.parent / "dlcheck.toml").write_text('ignore = ["DLC2"]\n')
    assert Resolver().settings(inner).ignore == ("DLC2",)
    assert Resolver().settings(tmp_path / "packages").ignore == ("DLC1",)
    assert Resolver(isolated=True).settings(inner).ignore == ()
    assert Resolver(config=tmp_path / "pyproject.toml").settings(inner).ignore == ("DLC1",)


def test_extend(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'ignore = ["DLC1"]\nexclude = ["old"]\nmin-severity = "warning"\nper-file-ignores = {"a.py" = ["DLC5"]}\n'
    )
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dlcheck.toml").write_text(
        'extend = "../base.toml"\nextend-ignore = ["cycled-loader"]\nmin-severity = "error"\n'
        'extend-per-file-ignores = {"b.py" = ["ALL"]}\nextend-exclude = ["new"]\n'
    )
    settings = Resolver().settings(folder)
    assert settings.ignore == ("DLC1", "DLC503")
    assert settings.min_severity == "error"
    assert [(p.folder, p.text) for p in settings.exclude] == [(tmp_path, "old"), (folder, "new")]
    assert [(p.text, codes) for p, codes in settings.per_file_ignores] == [
        ("a.py", ("DLC5",)),
        ("b.py", ("",)),
    ]
    assert [path.name for path in settings.sources] == ["base.toml", "dlcheck.toml"]


def test_a_circle_of_files(tmp_path: Path) -> None:
    (tmp_path / "dlcheck.toml").write_text('extend = "other.toml"\n')
    (tmp_path / "other.toml").write_text('extend = "dlcheck.toml"\n')
    with pytest.raises(ConfigError, match="extends itself"):
        Resolver().settings(tmp_path)


@pytest.mark.parametrize(
    ("select", "ignore", "chosen", "left"),
    [
        (("",), (), ("DLC101", "DLC503"), ()),
        (("DLC2",), (), ("DLC201",), ("DLC101",)),
        (("",), ("DLC2",), ("DLC101",), ("DLC201",)),
        (("", "DLC201"), ("DLC2",), ("DLC201", "DLC101"), ("DLC202",)),
        (("DLC2",), ("DLC201",), ("DLC202",), ("DLC201", "DLC101")),
        (("DLC201",), ("DLC201",), (), ("DLC201",)),
    ],
)
def test_the_longer_prefix_decides(
    select: tuple[str, ...], ignore: tuple[str, ...], chosen: tuple[str, ...], left: tuple[str, ...]
) -> None:
    settings = Resolver([{"select": select, "ignore": ignore}], isolated=True).settings(Path.cwd())
    assert all(settings.chooses(code) for code in chosen)
    assert not any(settings.chooses(code) for code in left)


def test_show_settings_is_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["torch>=2.4"]\n'
        '[tool.dlcheck]\nselect = ["DLC2", "ALL"]\nexclude = ["a b", "ü"]\nfix = true\n'
        '[tool.dlcheck.per-file-ignores]\n"t/*" = ["ALL"]\n'
    )
    text = show_settings(tmp_path, Resolver().settings(tmp_path), tmp_path)
    shown = loads(text)
    assert shown["select"] == ["DLC2", "ALL"]
    assert shown["exclude"] == ["a b", "ü"]
    assert shown["fix"] is True
    assert (shown["target-python"], shown["target-torch"]) == ("3.11", "2.4")
    assert shown["per-file-ignores"] == {"t/*": ["ALL"]}
    (tmp_path / "again.toml").write_text(text)
    again = Resolver(config=tmp_path / "again.toml").settings(tmp_path)
    assert again.select == ("DLC2", "")
    assert shown.keys() <= OPTIONS.keys()
