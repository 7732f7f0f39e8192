"""The manifest of a recording, and the folder that it lies in."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from dlcheck.probe.environment import describe_environment
from dlcheck.probe.recording import VERSION
from dlcheck.probe.space import write_in_place


def new_folder(name: str) -> Path:
    """A new folder in .dlcheck/runs of the working directory. Raises OSError."""
    base = Path.cwd() / ".dlcheck"
    stamp = time.strftime("%Y%m%d-%H%M%S")
    base.mkdir(exist_ok=True)
    if not (base / ".gitignore").exists():
        (base / ".gitignore").write_text("*\n", encoding="utf-8")
    for number in range(1, 1000):
        path = base / "runs" / (f"{stamp}-{name}" if number == 1 else f"{stamp}-{name}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise FileExistsError(f"no free folder in {base / 'runs'}")


def begin(recording: Path, command: list[str], **more: Any) -> dict[str, Any]:
    """Make the folders of a recording, and write what is known of the run as it begins.

    Raises FileExistsError when the directory holds a recording already, and OSError when it cannot be made.
    """
    if (recording / "recording.json").exists():
        raise FileExistsError(f"{recording} holds a recording already")
    for name in ("events", "samples", "stacks"):
        (recording / name).mkdir(parents=True, exist_ok=True)
    write_in_place(recording / "events")
    manifest: dict[str, Any] = {
        "version": VERSION,
        "command": command,
        "directory": str(Path.cwd()),
        "begin": time.monotonic_ns(),
        "begin_wall_s": time.time(),
        "environment": describe_environment(),
        **more,
    }
    write(recording, manifest)
    return manifest


def write(recording: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest, if that can be done."""
    # The user's program may have removed the directory, or filled the disk: its exit status matters more.
    with contextlib.suppress(OSError):
        temporary = recording / "recording.json.new"
        temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        temporary.replace(recording / "recording.json")
