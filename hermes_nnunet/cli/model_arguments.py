"""The arguments by which commands are told a trained model."""

import argparse
from pathlib import Path

MODEL_HELP = "a model's folder, or the id or name of its data set: 900"


def add_model_arguments(parser: argparse.ArgumentParser, metavar: str = "MODEL", what: str = MODEL_HELP) -> None:
    """Add MODEL, and nnU-Net's -tr, -p and -c."""
    parser.add_argument("model", metavar=metavar, help=what)
    add_model_names(parser)


def add_model_names(parser: argparse._ActionsContainer) -> None:
    """Add nnU-Net's -tr, -p and -c, which tell the models of a data set apart."""
    for flag, name, default in (
        ("-tr", "trainer", "HermesTrainer"),
        ("-p", "plans", "HermesPlans"),
        ("-c", "configuration", "3d_fullres"),
    ):
        parser.add_argument(flag, f"--{name}", default=default, metavar="NAME", help="default: %(default)s")


def model_of(arguments: argparse.Namespace) -> Path:
    """Folder of the model that `add_model_arguments` asked for.

    Raises:
        HermesError: there is no such model.
    """
    from hermes_nnunet.prediction.model_folder import find_model_folder

    return find_model_folder(arguments.model, arguments.trainer, arguments.plans, arguments.configuration)
