"""Findings on changed lines, and the findings of now beside those of a commit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from repository import Repository

from dlcheck.cli.main import main
from dlcheck.config.resolve import Resolver
from dlcheck.lint.changed import ChangedLines
from dlcheck.lint.checker import check
from dlcheck.lint.compare import Comparison, compare
from dlcheck.lint.git import GitError, Hunk, find_changes

HEAD = "import itertools\nfrom torch.utils.data import DataLoader\n\n\n"
CYCLE = "def {name}(d):\n    return itertools.cycle(DataLoader(d))\n\n\n"
MAPPED = """\
import h5py
from torch.utils.data import Dataset


class Features(Dataset):
    def __init__(self, path):
        self.path = path

    def __getitem__(self, index):
        return {body}
"""


def source(*names: str) -> str:
    return HEAD + "".join(CYCLE.format(name=name) for name in names)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(tmp_path)
    return Repository(
        tmp_path, {"pyproject.toml": "", "a.py": source("one", "two"), "pkg/old name ü.py": source("three")}
    )


def on_changed_lines(revision: str) -> list[tuple[str, int]]:
    lines = ChangedLines([find_changes(Path.cwd(), revision)])
    result = lines.only(check([Path.cwd()], Resolver()), {})
    return [(Path(f.place.file).name, f.place.line) for f in result.findings]


def test_only_changed_lines(repository: Repository) -> None:
    assert on_changed_lines("HEAD") == []
    repository.write({"a.py": "# moved\n" + source("one", "two", "new")})
    assert on_changed_lines("HEAD") == [("a.py", 15)]
    repository.write(
        {"a.py": source("one", "two").replace("def two(d):\n    return", "def two(d):\n    return  ")}
    )
    assert on_changed_lines("HEAD") == [("a.py", 10)]


def test_new_and_renamed_files(repository: Repository) -> None:
    repository.write({"fresh.py": source("four"), "data.txt": "x"})
    repository.git("mv", "pkg/old name ü.py", 'pkg/"new" näme.py')
    (repository.folder / 'pkg/"new" näme.py').write_text(source("three", "five"))
    assert on_changed_lines("main") == [("fresh.py", 6), ('"new" näme.py', 10)]


def test_lines_that_went_concern_what_spans_them(repository: Repository) -> None:
    call = (
        "def f(d):\n    return itertools.cycle(\n        DataLoader(\n"
        "            d,\n            drop_last=True,\n        )\n    )\n"
    )
    repository.write({"a.py": HEAD + call + source("other")})
    repository.commit("a call")
    repository.write({"a.py": HEAD + call.replace("            drop_last=True,\n", "") + source("other")})
    assert on_changed_lines("HEAD") == [("a.py", 6)]


def test_the_common_ancestor_counts(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "work")
    repository.write({"b.py": source("mine")})
    repository.commit("mine")
    repository.git("switch", "--quiet", "main")
    repository.write({"a.py": source("one")})
    repository.commit("theirs")
    repository.git("switch", "--quiet", "work")
    assert on_changed_lines("main") == [("b.py", 6)]


def test_notebooks_count_by_source(repository: Repository) -> None:
    def notebook(*cells: str, output: str) -> str:
        entries = [
            {"cell_type": "code", "source": c.splitlines(keepends=True), "outputs": [output], "metadata": {}}
            for c in cells
        ]
        return json.dumps({"cells": entries, "metadata": {}, "nbformat": 4}, indent=1)

    first, second = source("one"), "x = itertools.cycle(DataLoader([1]))\n"
    repository.write({"n.ipynb": notebook(first, output="a")})
    repository.commit("notebook")
    repository.write({"n.ipynb": notebook(first, output="b")})
    assert on_changed_lines("HEAD") == []
    repository.write({"n.ipynb": notebook(first, second, output="b")})
    assert len(on_changed_lines("HEAD")) == 1


def test_what_git_cannot_say(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(GitError, match="no commit or branch 'nowhere' here; a shallow clone"):
        find_changes(repository.folder, "nowhere")
    with pytest.raises(GitError, match="is no commit"):
        find_changes(repository.folder, "--output=x")
    with pytest.raises(GitError, match="not a git repository"):
        find_changes(tmp_path_factory.mktemp("plain"), "HEAD")
    assert main(["check", "--changed-since", "nowhere"]) == 2


def test_fixing_with_changed_lines_only(repository: Repository) -> None:
    loop = (
        "def {}(d):\n    loader = DataLoader(d, num_workers=2)\n    for x in loader:\n        x.cuda()\n\n\n"
    )
    repository.write({"a.py": HEAD + loop.format("old")})
    repository.commit("old")
    repository.write({"a.py": HEAD + loop.format("old") + loop.format("new")})
    assert main(["check", "--no-cache", "--changed-since", "HEAD", "--fix", "--quiet"]) == 0
    after = (repository.folder / "a.py").read_text()
    assert after.count("pin_memory") == 1
    assert after.index("pin_memory") > after.index("def new")


def test_line_before() -> None:
    from dlcheck.lint.git import FileChange

    change = FileChange(None, None, (Hunk(2, 2, 2, 1), Hunk(6, 0, 6, 3), Hunk(10, 1, 11, 0)))
    # was: 1 [2 3] 4 5 6 + 7 8 9 [10] 11; is: 1 [2] 3 4 5 [6 7 8] 9 10 11 ...
    assert [change.line_before(n) for n in range(1, 14)] == [
        1,
        None,
        4,
        5,
        6,
        None,
        None,
        None,
        7,
        8,
        9,
        11,
        12,
    ]


def compared(repository: Repository, *paths: str) -> Comparison:
    return compare(
        [repository.folder / p for p in paths or ("",)], find_changes(repository.folder, "HEAD"), Resolver()
    )


def places(findings: tuple[object, ...]) -> list[tuple[str, str, int]]:
    return [(f.rule, Path(f.place.file).name, f.place.line) for f in findings]  # type: ignore[attr-defined]


def test_moved_lines_are_neither_introduced_nor_cured(repository: Repository) -> None:
    repository.write({"a.py": "# a\n# b\n" + source("two", "one")})
    repository.git("mv", "pkg/old name ü.py", "pkg/other.py")
    comparison = compared(repository)
    assert (comparison.introduced, comparison.cured) == ((), ())


def test_introduced_and_cured(repository: Repository) -> None:
    repository.write(
        {
            "a.py": source("one") + "def two(d):\n    while True:\n        yield from DataLoader(d)\n",
            "b.py": source("x"),
        }
    )
    repository.git("rm", "--quiet", "pkg/old name ü.py")
    comparison = compared(repository)
    assert places(comparison.introduced) == [("DLC503", "b.py", 6)]
    assert places(comparison.cured) == [("DLC503", "a.py", 10), ("DLC503", "old name ü.py", 6)]


def test_a_function_that_moves_to_another_file_is_the_same(repository: Repository) -> None:
    repository.write({"a.py": source("one"), "b.py": source("new", "two")})
    comparison = compared(repository)
    assert places(comparison.introduced) == [("DLC503", "b.py", 6)]
    assert places(comparison.cured) == []


def test_a_change_of_one_file_introduces_a_finding_in_another(repository: Repository) -> None:
    """The loader's file stays as it is: what its dataset does now makes it too slow."""
    train = (
        "from torch.utils.data import DataLoader\nfrom data import Features\n\n\n"
        "def train(model):\n    loader = DataLoader(Features('x'), batch_size=8, shuffle=True)\n"
        "    for epoch in range(9):\n        for batch in loader:\n            model(batch).backward()\n"
    )
    repository.write({"data.py": MAPPED.format(body="index"), "train.py": train})
    repository.commit("data")
    repository.write({"data.py": MAPPED.format(body="h5py.File(self.path)['x'][index]")})
    comparison = compared(repository)
    assert ("DLC203", "train.py", 6) in places(comparison.introduced)
    assert ("DLC102", "data.py", 10) in places(comparison.introduced)
    assert places(compared(repository, "train.py").introduced) == [("DLC203", "train.py", 6)]
    assert not comparison.cured


def test_review(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write({"b.py": source("fresh") + "# ```\n" + "x = 1\n", "a.py": source("one")})
    assert main(["review", "--base", "HEAD", "--no-cache"]) == 1
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == "## dlcheck: 1 finding introduced, 1 cured"
    assert "**`b.py:6` DLC503 cycled-loader** (error)" in lines
    assert "**Why:** `cycle` saves a copy of each item it yields." in text
    assert "**Cost:** not known: there is no recording of a run." in text
    assert text.count("<details>") == text.count("</details>")
    assert (
        main(["review", "--base", "HEAD", "--exit-zero", "--format", "json", "--output-file", "r.json"]) == 0
    )
    value = json.loads(Path("r.json").read_text())
    assert [f["rule"] for f in value["introduced"]] == ["DLC503"]
    assert value["introduced"][0]["cost_s"] is None


def test_review_of_nothing(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "--base", "HEAD"]) == 0
    assert capsys.readouterr().out.startswith("## dlcheck: this change introduces nothing\n")


def test_a_review_fits_into_a_comment(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write(
        {
            f"m{n}.py": source(*(f"f{n}_{i}_{'x' * 20}" for i in range(30))).replace(
                "DataLoader(d)", f"DataLoader(d{n})"
            )
            for n in range(9)
        }
    )
    main(["review", "--base", "HEAD"])
    text = capsys.readouterr().out
    assert len(text) < 65_536
    assert "more parts do not fit here" in text
    assert text.rstrip().endswith("</sub>")
