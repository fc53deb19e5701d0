"""hermes_nnunet install: install a model that somebody has exported."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("archive", type=Path, metavar="ZIP", help="zip file that nnUNetv2_export_model_to_zip wrote")
    parser.add_argument("--overwrite", action="store_true", help="replace models that exist")
    parser.add_argument(
        "--trust-plans",
        action="store_true",
        help="allow plans that name other classes than those of Hermes and nnU-Net, whose code a prediction runs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Check and install, and say what is where.

    Raises:
        HermesError: the zip is none, is damaged or would do harm, or the model is there already.
    """
    from hermes_nnunet.core.nnunet_folders import RESULTS, optional_folder
    from hermes_nnunet.errors import HermesError
    from hermes_nnunet.file_names import escaped
    from hermes_nnunet.prediction.installing import install

    results = optional_folder(RESULTS)
    if results is None or not results.is_dir():
        raise HermesError(f"{RESULTS} is not set to a folder: export it, as for nnU-Net's own commands")
    installed = install(arguments.archive, results, overwrite=arguments.overwrite, trust_plans=arguments.trust_plans)
    for path in (*installed.models, *installed.others):
        print(path)
    for name in installed.left_out:
        print(f"left out, since a pickle can run code: {escaped(name)}")
    return 0
