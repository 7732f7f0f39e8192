"""Text for a file, a pipe or a log, where no line may be taken for more than text."""

from __future__ import annotations

import re
from typing import TextIO

# What a runner of GitHub Actions takes for a command: ``::name::`` at the beginning of a line, ``##[name]`` anywhere.
_COMMAND = re.compile(r"^(\s*):(?=:)|##(?=\[)")


def write_plain(text: str, file: TextIO) -> None:
    """Write lines without the blanks that tables are filled up with, and without commands to whoever keeps the log."""
    for line in text.splitlines():
        file.write(_COMMAND.sub(lambda match: f"{match[0]} ", line).rstrip() + "\n")
