"""`hermes_nnunet link`: let nnU-Net see an editable hermes_nnunet, or an editable nnU-Net see an installed one."""

import argparse

from hermes_nnunet.plugin.links import link_plugin
from hermes_nnunet.plugin.places import hermes_root, nnunet_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Link every plug-in point and say what was done at each place."""
    for place, done in link_plugin(nnunet_folder(), hermes_root()).items():
        print(f"{place}: {done}")
    return 0
