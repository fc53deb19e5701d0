"""`hermes_nnunet completion`: the script by which a shell completes commands, options and files."""

import argparse
from pathlib import Path

from hermes_nnunet.cli.parser import COMMANDS, build_parser

SHELLS = ("bash", "zsh", "fish")
_WHERE = """where a shell finds it, once and for all:
  hermes_nnunet completion bash > ~/.local/share/bash-completion/completions/hermes_nnunet
  hermes_nnunet completion zsh > ~/.zfunc/_hermes_nnunet     (with ~/.zfunc in fpath before compinit)
  hermes_nnunet completion fish > ~/.config/fish/completions/hermes_nnunet.fish"""
_METAVARS_OF_PATHS = ("FILE", "FOLDER", "IN", "OUT", "MODEL")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the argument of the command."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.epilog = f"{parser.epilog}\n\n{_WHERE}"


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    parser = build_parser(COMMANDS)
    for action in _actions(parser):
        if action.type is Path or action.metavar in _METAVARS_OF_PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab's way to say it
    print(shtab.complete(parser, arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of a parser and its commands."""
    actions = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            actions += [nested for command in action.choices.values() for nested in _actions(command)]
        else:
            actions.append(action)
    return actions
