"""``dlcheck server``: a language server for editors, on standard input and output."""

from __future__ import annotations

import argparse

from dlcheck.errors import UserError


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "server",
        help="serve editors by the Language Server Protocol",
        description="A language server on standard input and output. Needs the extra: pip install 'dlcheck[server]'.",
    )
    parser.add_argument(
        "--isolated", action="store_true", help="read no settings files, and run no rules of a project's own"
    )
    parser.add_argument("--stdio", action="store_true", help="the only way there is; for editors that say so")


def run(arguments: argparse.Namespace) -> int:
    """Serve until the editor says that it is done."""
    try:
        from dlcheck.server.server import create_server
    except ImportError as error:
        raise UserError(f"the server needs {error.name}: pip install 'dlcheck[server]'") from error
    create_server(arguments.isolated).start_io()
    return 0
