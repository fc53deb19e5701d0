"""`hermes_nnunet report`: a trained model on one page."""

import argparse
from pathlib import Path

from hermes_nnunet.cli.model_arguments import add_model_arguments, model_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_arguments(parser)
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="default: every finished fold")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and say where it is.

    Raises:
        HermesError: there is no such model, or the page cannot be written.
    """
    from tqdm import tqdm

    from hermes_nnunet.core.files import check_output_file
    from hermes_nnunet.core.nnunet_folders import RAW, optional_folder
    from hermes_nnunet.insight.report.case_pictures import draw_member_cases
    from hermes_nnunet.insight.report.page import write_page
    from hermes_nnunet.insight.report.trained_model import read_trained_model

    check_output_file(arguments.output)
    model = read_trained_model(model_of(arguments), arguments.folds)
    raw = optional_folder(RAW)
    pictures = list(tqdm(draw_member_cases(model, raw), total=len(model.dice), unit="member", disable=None))
    write_page(model, pictures, arguments.output)
    print(f"report: {arguments.output}")
    return 0
