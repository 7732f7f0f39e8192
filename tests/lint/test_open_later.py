"""The fix of DLC302: each process opens the file itself, and the dataset can be pickled."""

from __future__ import annotations

import os
import pickle
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlcheck.lint.api import CheckResult, check_paths
from dlcheck.lint.fixing import fix_all

SOURCE = """\
from torch.utils.data import Dataset


class Numbers(Dataset):
    def __init__(self, path):
        self.size = 4
        self.file = open(path, "rb")  # the data
        self.index = open(
            f"{path}.index",  # where each number starts
            mode="rb",
        )
        self.head = self.file.read(self.size)

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        self.index.seek(i)
        self.file.seek(self.index.read(1)[0])
        return self.file.read(1)
"""


def _fixed(source: str, folder: Path) -> str:
    path = folder / "numbers_on_disk.py"
    path.write_text(textwrap.dedent(source))

    def check(overlay: dict[str, bytes]) -> CheckResult:
        return check_paths([path], folder, select=("DLC302",), low_confidence=True, overlay=overlay)

    assert check({}).findings
    fixed = fix_all(check, unsafe=True)
    assert not fixed.problems
    return fixed.changes[str(path)][1].decode() if fixed.changes else ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("numbers_on_disk", None)


def test_each_process_opens_the_file_itself(folder: Path) -> None:
    pytest.importorskip("torch")
    data = folder / "data"
    data.write_bytes(b"abcd")
    Path(f"{data}.index").write_bytes(bytes([3, 2, 1, 0]))
    (folder / "numbers_on_disk.py").write_text(_fixed(SOURCE, folder))
    from numbers_on_disk import Numbers  # type: ignore[import-not-found]

    dataset = Numbers(str(data))
    assert dataset.head == b"abcd"
    assert [dataset[i] for i in range(4)] == [b"d", b"c", b"b", b"a"]
    mine = dataset.file
    assert dataset.file is mine
    child = os.fork()
    if child == 0:
        # A seek in the child would move the position of the parent, had they one file in common.
        os._exit(0 if dataset.file is not mine and dataset[0] == b"d" else 1)
    assert os.waitpid(child, 0)[1] == 0
    copy = pickle.loads(pickle.dumps(dataset))
    assert [copy[i] for i in range(4)] == [b"d", b"c", b"b", b"a"]


def test_comments_and_layout_stay(folder: Path) -> None:
    text = _fixed(SOURCE, folder)
    assert '        self._open_file = partial(open, path, "rb")  # the data\n' in text
    assert '            f"{path}.index",  # where each number starts\n' in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize(
    "change",
    [
        (
            "self.head = self.file.read(self.size)",
            "self.part = self.file.detach()",
        ),  # reads through the handle
        ("self.head = self.file.read(self.size)", "self.reader = Reader(self.file)"),
        ("def __len__(self):", "def __getstate__(self):\n        return {}\n\n    def __len__(self):"),
        ("def __len__(self):", "def __del__(self):\n        self.file.close()\n\n    def __len__(self):"),
        ("def __len__(self):", "def reset(self, file):\n        self.file = file\n\n    def __len__(self):"),
        ("class Numbers(Dataset):", "class Numbers(Unknown, Dataset):"),
        ("        self.size = 4", "        self._file_handle = None\n        self.size = 4"),
        ("from torch.utils.data import Dataset\n", "from torch.utils.data import Dataset\npartial = print\n"),
    ],
)
def test_no_fix_where_more_would_have_to_change(change: tuple[str, str], folder: Path) -> None:
    assert change[0] in SOURCE
    assert _fixed(SOURCE.replace(*change), folder) == ""
