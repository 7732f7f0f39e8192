"""The probe as a context manager, for notebooks and for a part of a program.

    with dlcheck.probe() as p:
        train(model, loader)
    p.report()

Loaders that are iterated in the block are recorded as ``dlcheck run`` records them, and the process is as it was
afterwards. Workers that were started before the block (persistent ones) are not seen.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from dlcheck.probe import manifest

_START = (
    "import sys; sys.path.insert(0, {package!r}); "
    "from dlcheck.probe.beside import main; main({recording!r}, {pid}, {stacks})"
)
_LONGEST_END_S = 30.0


class Report:
    """The report of a recording. Shown by a notebook as the text that ``dlcheck run`` prints."""

    def __init__(self, recording: Path, check: bool, cells: dict[str, str]) -> None:
        from dlcheck.report.build import build_report

        self._report = build_report(recording, check=check, fresh=True)
        self._cells = cells

    def __str__(self) -> str:
        from dlcheck.report.run_text import print_report

        file = io.StringIO()
        print_report(self._report, file)
        return self._named(file.getvalue()).rstrip()

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """The report as report.json has it (schema dlcheck.report/1)."""
        from dlcheck.report.run_json import render_json

        contents: dict[str, Any] = json.loads(render_json(self._report))
        return contents

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the page with charts, complete in itself."""
        from dlcheck.report.run_html import render_html

        Path(path).write_text(self._named(render_html(self._report)), encoding="utf-8")

    def _named(self, text: str) -> str:
        for file, name in self._cells.items():
            text = text.replace(file, name)
        return text


class Probe:
    """Records the loaders that are iterated between ``start`` and ``stop``, or in a ``with`` block.

    ``output``: the folder of the recording (default: a new one in .dlcheck/runs). ``stacks``: sample stacks, so that
    lines are named. Where the process is recorded already, by ``dlcheck run`` or by an outer block, that recording
    is used. Raises ImportError where there is no torch, FileExistsError where ``output`` holds a recording, and
    OSError where it cannot be made.
    """

    def __init__(self, output: str | os.PathLike[str] | None = None, *, stacks: bool = True) -> None:
        self.recording: Path | None = None
        self._output = output
        self._stacks = stacks
        self._beside: subprocess.Popen[str] | None = None

    def __enter__(self) -> Probe:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(failed=error is not None)

    def start(self) -> None:
        """Begin to record."""
        from dlcheck.probe import inprocess, journal

        if self.recording is not None:
            raise RuntimeError("this probe has been used: make another one")
        if inprocess.is_attached():
            self.recording = Path(journal.recording())
            return
        recording = manifest.new_folder("notebook") if self._output is None else Path(self._output).absolute()
        manifest.begin(recording, sys.argv)
        self.recording = recording
        environment = dict(os.environ)
        inprocess.attach(recording)
        package = str(Path(__file__).parents[2])
        code = _START.format(
            package=package, recording=str(recording), pid=os.getpid(), stacks=bool(self._stacks)
        )
        self._beside = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def stop(self, failed: bool = False) -> None:
        """End the recording. ``failed``: what was recorded ended with an error."""
        from dlcheck.probe import inprocess

        beside, self._beside = self._beside, None
        if beside is None:
            return
        inprocess.detach()
        assert beside.stdin is not None
        with contextlib.suppress(OSError):
            beside.stdin.write(f"{int(failed)}\n")
            beside.stdin.close()
        try:
            beside.wait(_LONGEST_END_S)
        except subprocess.TimeoutExpired:
            beside.kill()
            beside.wait()

    def report(self, *, check: bool = True) -> Report:
        """What is known so far. ``check``: check the source files of the run too."""
        if self.recording is None:
            raise RuntimeError("nothing has been recorded: use 'with dlcheck.probe() as p: ...' first")
        return Report(self.recording, check, _cells())


def _cells() -> dict[str, str]:
    """The names of notebook cells by the file names that tracebacks have for them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    named = getattr(getattr(shell, "compile", None), "_filename_map", {})
    cells = {str(file): f"In[{number}]" for file, number in named.items() if re.search(r"\d", str(number))}
    return dict(sorted(cells.items(), key=lambda item: -len(item[0])))
