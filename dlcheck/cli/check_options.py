"""The options of ``dlcheck check``, and what they say about settings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcheck.config.settings import CONFIDENCES, OUTPUT_FORMATS, SEVERITIES

if TYPE_CHECKING:
    from dlcheck.config.resolve import Resolver

# Options that stand for a setting of the same name. Those in ``_LISTS`` take words by comma, and may be given again.
_LISTS = ("select", "ignore", "extend-select", "extend-ignore", "exclude", "extend-exclude")
_WORDS = (
    "min-severity",
    "min-confidence",
    "output-format",
    "baseline",
    "cache-dir",
    "target-python",
    "target-torch",
    "start-method",
)
_FLAGS = ("respect-gitignore", "force-exclude", "require-reason", "fix", "unsafe-fixes")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option."""
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="files or folders (default: .); - reads standard input"
    )
    _add_rules(parser.add_argument_group("rules"))
    _add_files(parser.add_argument_group("files"))
    _add_fixes(parser.add_argument_group("fixes and suppressions"))
    _add_output(parser.add_argument_group("output"))
    group = parser.add_argument_group("settings")
    _add_settings(group)
    group.add_argument("--show-settings", action="store_true", help="show the settings that hold, and stop")
    group.add_argument(
        "--show-files", action="store_true", help="show the files that would be checked, and stop"
    )


def _add_rules(group: argparse._ArgumentGroup) -> None:
    codes = {"metavar": "CODES", "action": "append"}
    group.add_argument("--select", help="only these rules: codes, prefixes or names, by comma", **codes)  # type: ignore[arg-type]
    group.add_argument("--ignore", help="without these rules", **codes)  # type: ignore[arg-type]
    group.add_argument("--extend-select", help="these rules as well", **codes)  # type: ignore[arg-type]
    group.add_argument("--extend-ignore", help="without these rules as well", **codes)  # type: ignore[arg-type]
    group.add_argument(
        "--per-file-ignores", metavar="PATTERN:CODE", action="append", help="without a rule in some files"
    )
    group.add_argument(
        "--min-severity", choices=SEVERITIES, help="the least severity to report (default: info)"
    )
    group.add_argument(
        "--min-confidence", choices=CONFIDENCES, help="the least confidence to report (default: medium)"
    )
    group.add_argument(
        "--low-confidence",
        action="store_const",
        const="low",
        dest="min_confidence",
        help="the same as --min-confidence low",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--exclude", metavar="PATTERNS", action="append", help="do not look at these files and folders"
    )
    group.add_argument("--extend-exclude", metavar="PATTERNS", action="append", help="nor at these")
    group.add_argument("--force-exclude", **_flag(), help="--exclude holds for files given by name as well")
    group.add_argument(
        "--respect-gitignore", **_flag(), help="do not look at what git ignores (default: yes)"
    )
    group.add_argument(
        "--changed-since",
        metavar="REV",
        help="only findings on lines that have changed since a commit or branch",
    )
    group.add_argument("--baseline", metavar="FILE", help="leave out the findings that this file knows")
    group.add_argument(
        "--write-baseline", metavar="FILE", nargs="?", const="", help="write what is found to the baseline"
    )
    group.add_argument(
        "--stdin-filename", metavar="FILE", help="the name of what is read from standard input"
    )


def _add_fixes(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--fix", **_flag(), help="carry out the safe fixes, and report what is left")
    group.add_argument(
        "--unsafe-fixes",
        **_flag(),
        help="with --fix or --diff: also fixes that may change what the program computes",
    )
    group.add_argument("--diff", action="store_true", help="show what --fix would change, and change nothing")
    group.add_argument(
        "--add-ignores",
        metavar="REASON",
        nargs="?",
        const="",
        help="suppress each finding by a comment at its line",
    )
    group.add_argument("--require-reason", **_flag(), help="report suppressions that give no reason")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output-format", choices=OUTPUT_FORMATS, metavar="FORMAT", help=", ".join(OUTPUT_FORMATS)
    )
    group.add_argument("--output-file", metavar="FILE", help="write the findings to a file")
    group.add_argument(
        "--statistics", action="store_true", help="show how often each rule was found, and no more"
    )
    group.add_argument("--quiet", "-q", action="store_true", help="print findings and nothing else")
    group.add_argument(
        "--exit-zero", "-e", action="store_true", help="exit with 0 even if there are findings"
    )
    group.add_argument(
        "--exit-code-from", choices=SEVERITIES, metavar="SEVERITY",
        help="exit with 1 only for findings that are at least so grave: info, warning, error (default: info)",
    )  # fmt: skip
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="(default: on terminals, unless NO_COLOR is set)",
    )


def _add_settings(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config", metavar="FILE|KEY=VALUE", action="append", default=[],
        help="use this settings file for all files; or set one setting, in TOML",
    )  # fmt: skip
    group.add_argument("--isolated", action="store_true", help="read no settings file")
    group.add_argument(
        "--target-python", metavar="VERSION", help="the lowest Python to support, such as 3.10"
    )
    group.add_argument("--target-torch", metavar="VERSION", help="the lowest torch to support, such as 2.4")
    group.add_argument(
        "--start-method", metavar="METHOD", help="how worker processes start: fork, forkserver, spawn"
    )
    group.add_argument("--cache-dir", metavar="DIR", help="where facts about files are kept between checks")
    group.add_argument(
        "--no-cache", action="store_true", help="keep nothing between checks, and use nothing kept"
    )


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose rules and settings, for commands other than check."""
    _add_rules(parser.add_argument_group("rules"))
    _add_settings(parser.add_argument_group("settings"))


def _flag() -> Any:
    return {"action": argparse.BooleanOptionalAction, "default": None}


def make_resolver(arguments: argparse.Namespace) -> Resolver:
    """The settings of files as the command line wants them. Raises ``ConfigError``."""
    from dlcheck.config.read import ConfigError, read_values
    from dlcheck.config.resolve import Resolver

    files = [Path(text) for text in arguments.config if "=" not in text]
    if len(files) > 1:
        raise ConfigError("--config names more than one file; one can extend another")
    for file in files:
        if not file.is_file():
            raise ConfigError(f"--config: no such file: {file}")
    config = files[0].absolute() if files else None
    resolver = Resolver(config=config, isolated=arguments.isolated)
    own = resolver.settings(Path.cwd()).rules
    overrides = []
    for table, origin in ((_inline(arguments.config), "--config "), (_table(arguments), "--")):
        layer, wrong = read_values(table, Path.cwd(), own)
        if wrong:
            raise ConfigError("\n".join(f"{origin}{error}" for _, error in wrong))
        overrides.append(layer)
    return resolver.overridden(overrides)


def _inline(texts: list[str]) -> dict[str, Any]:
    """The settings that ``--config 'key = value'`` gives."""
    from dlcheck.config import toml
    from dlcheck.config.read import ConfigError

    table: dict[str, Any] = {}
    for text in texts:
        if "=" in text:
            try:
                table |= toml.loads(text)
            except toml.TOMLDecodeError as error:
                raise ConfigError(f"--config: {text!r} is not TOML: {error}") from error
    return table


def _table(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the other options give, as a settings file would have them."""
    given = {name: getattr(arguments, name.replace("-", "_"), None) for name in (*_LISTS, *_WORDS, *_FLAGS)}
    table = {name: value for name, value in given.items() if value is not None}
    for name in _LISTS:
        if name in table:
            table[name] = [word.strip() for text in table[name] for word in text.split(",") if word.strip()]
    if "select" in table:
        # What is asked for by name is wanted, whatever the settings file leaves out.
        table.setdefault("ignore", [])
    elif "ignore" in table:
        table["extend-ignore"] = [*table.pop("ignore"), *table.get("extend-ignore", ())]
    ignores: dict[str, list[str]] = {}
    for text in arguments.per_file_ignores or ():
        pattern, _, code = text.rpartition(":")
        ignores.setdefault(pattern, []).extend(code.split(","))
    if ignores:
        table["extend-per-file-ignores"] = ignores
    return table
