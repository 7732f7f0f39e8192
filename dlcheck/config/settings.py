"""What a project or a call of ``dlcheck check`` asks for, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dlcheck.config.patterns import Pattern

SEVERITIES = ("info", "warning", "error")
CONFIDENCES = ("low", "medium", "high")
START_METHODS = ("fork", "forkserver", "spawn")
OUTPUT_FORMATS = (
    "full", "concise", "grouped", "json", "jsonl", "sarif", "github", "gitlab", "rdjson", "junit", "markdown",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that hold for the files of a folder. Codes are codes of rules or prefixes of them.

    ``folder`` is where the settings' own paths and patterns count from, ``sources`` are the files that they come from,
    the one that counts most last. The empty prefix stands for all. ``target_python`` is the lowest version that
    the project supports, ``target_torch`` likewise; both are ``None`` where they are to be read from the project.
    """

    folder: Path
    sources: tuple[Path, ...] = ()
    select: tuple[str, ...] = ("",)
    ignore: tuple[str, ...] = ()
    per_file_ignores: tuple[tuple[Pattern, tuple[str, ...]], ...] = ()
    min_severity: str = "info"
    min_confidence: str = "medium"
    require_reason: bool = False
    exclude: tuple[Pattern, ...] = ()
    respect_gitignore: bool = True
    force_exclude: bool = False
    rules: tuple[Path, ...] = ()
    target_python: str | None = None
    target_torch: str | None = None
    start_method: str | None = None
    baseline: Path | None = None
    cache_dir: Path | None = None
    output_format: str = "full"
    fix: bool = False
    unsafe_fixes: bool = False

    def chooses(self, code: str) -> bool:
        """Whether a rule is chosen: the longest prefix that fits decides, ``ignore`` before ``select`` where equal."""
        taken = max((len(p) for p in self.select if code.startswith(p)), default=-1)
        left = max((len(p) for p in self.ignore if code.startswith(p)), default=-1)
        return taken > left

    def keeps(self, severity: str, confidence: str) -> bool:
        """Whether a finding is grave and sure enough to be reported."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.min_severity) and CONFIDENCES.index(
            confidence
        ) >= CONFIDENCES.index(self.min_confidence)
