"""``dlcheck completion``: print a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

import shtab

_HOW = """\
  bash   eval "$(dlcheck completion bash)"                                    in ~/.bashrc
  zsh    eval "$(dlcheck completion zsh)"                                     in ~/.zshrc
  fish   dlcheck completion fish > ~/.config/fish/completions/dlcheck.fish
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        epilog=_HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from dlcheck.cli.main import COMMANDS, build_parser

    print(shtab.complete(build_parser(COMMANDS), shell=arguments.shell))
    return 0
