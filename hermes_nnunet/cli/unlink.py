"""`hermes_nnunet unlink`: undo `hermes_nnunet link`."""

import argparse

from hermes_nnunet.plugin.links import unlink_plugin
from hermes_nnunet.plugin.places import nnunet_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Remove our links and say what was done at each place."""
    for place, done in unlink_plugin(nnunet_folder()).items():
        print(f"{place}: {done}")
    return 0
