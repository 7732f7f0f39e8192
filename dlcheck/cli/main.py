"""The command line: ``dlcheck COMMAND``. One module per command; this one only chooses."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Collection

from dlcheck import __version__
from dlcheck.errors import UserError

COMMANDS = {
    "check": "find data-loading faults in source code",
    "review": "say what a change introduces and what it cures",
    "run": "run a training script and say why its loop waits for data",
    "tune": "find faster settings for a loader, and confirm them with short real runs",
    "report": "show the report of a recorded run again",
    "top": "watch the loading of a run that goes on",
    "attach": "look at a training that runs already",
    "compare": "say what changed between two recorded runs",
    "doctor": "look at the machine: what it means for loading",
    "explain": "print the page of a rule",
    "rules": "list the rules",
    "server": "serve editors by the Language Server Protocol",
    "completion": "print a script that completes commands and options in a shell",
}

_EPILOG = """\
exit status:
  check    0 nothing found, 1 findings or files that could not be read, 2 wrong usage or an internal error
  review   0 nothing introduced, 1 findings introduced, 2 wrong usage or an internal error
  run      the exit status of the command that was run; 2 wrong usage; 3 it ended with 0 and a condition of --fail-on holds
  tune     0 settled, with or without a better setting; 1 not clear, or --fix could not make the edit; 2 the training fails
  report   0 shown, 2 wrong usage, 3 a condition of --fail-on holds
  doctor   0 nothing bad, 1 something is bad, 2 wrong usage
  compare  0 compared, 2 wrong usage, 3 --fail-on regression, and there is one
  others   0 done, 2 wrong usage or an internal error
"""


def build_parser(chosen: Collection[str | None]) -> argparse.ArgumentParser:
    """The parser, with the options of the chosen commands alone (the others are listed only)."""
    parser = argparse.ArgumentParser(
        prog="dlcheck",
        description="Why does my PyTorch training loop wait for data, and which line is to blame?",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dlcheck {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        if name in chosen:
            importlib.import_module(f"dlcheck.cli.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns the exit status; a fault of dlcheck itself gives one line on stderr and 2."""
    arguments = sys.argv[1:] if argv is None else argv
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    parser = build_parser([chosen])
    parsed, rest = parser.parse_known_args(arguments)
    if rest and hasattr(parsed, "paths") and not any(word.startswith("-") for word in rest):
        # argparse takes files before the first option only.
        parsed.paths += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name or a line that the terminal cannot show is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    try:
        module = importlib.import_module(f"dlcheck.cli.{parsed.command}")
        return int(module.run(parsed))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (``dlcheck check . | head``): nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UserError as error:
        for line in str(error).splitlines():
            print(f"dlcheck: {line}", file=sys.stderr)
        return 2
    except Exception as error:
        if os.environ.get("DLCHECK_DEBUG"):
            raise
        print(
            f"dlcheck: internal error: {type(error).__name__}: {error} (set DLCHECK_DEBUG=1 for the traceback)",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
