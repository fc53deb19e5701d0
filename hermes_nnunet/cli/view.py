"""`hermes_nnunet view`: results, or a trained model's validation, in the browser."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hermes_nnunet.cli.model_arguments import add_model_arguments, model_of

if TYPE_CHECKING:
    from hermes_nnunet.insight.viewer.cases import ShownCase


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_model_arguments(
        parser, "OUT", "a folder of results; or a model, by its folder or the id or name of its data set: 900"
    )
    parser.add_argument(
        "-f", "--folds", nargs="+", metavar="FOLD", help="folds of a model; default: every finished one"
    )
    parser.add_argument(
        "-i", "--input", type=Path, metavar="IN", help="images of the results; default: where run.json says"
    )
    parser.add_argument(
        "-r",
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="reference label maps to show next to the results, named like them",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C.

    Raises:
        HermesError: there is nothing to see, or the port is taken.
    """
    import webbrowser

    from hermes_nnunet.file_names import escaped
    from hermes_nnunet.insight.viewer.serving import ViewerServer

    cases = _cases(arguments)
    with ViewerServer(cases, arguments.port, title=str(arguments.model)) as server:
        many = f"{len(cases)} case{'s' * (len(cases) != 1)}"
        print(f"{many} of {escaped(str(arguments.model))}: {server.address} (Ctrl-C ends it)", flush=True)
        if not arguments.no_browser and not webbrowser.open(server.address):
            print("hermes_nnunet: warning: no browser was found: open the address in one", file=sys.stderr)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _cases(arguments: argparse.Namespace) -> "list[ShownCase]":
    from hermes_nnunet.errors import UsageError
    from hermes_nnunet.insight.viewer.results import cases_of_results

    folder = Path(arguments.model)
    # nnUNetv2_predict copies plans.json beside its results.
    if not arguments.model.isdigit() and folder.is_dir() and not any(folder.glob("fold_*")):
        return cases_of_results(folder, arguments.input, arguments.reference)
    for flag, given in (("-i", arguments.input), ("-r", arguments.reference)):
        if given is not None:
            raise UsageError(f"{flag} goes with a folder of results: a model's validation has images and references")

    # Results are shown without what trained models need, which takes seconds to import.
    from hermes_nnunet.core.nnunet_folders import raw_folder
    from hermes_nnunet.insight.report.trained_model import read_trained_model
    from hermes_nnunet.insight.viewer.validation import cases_of_validation

    model = model_of(arguments)
    return cases_of_validation(read_trained_model(model, arguments.folds), raw_folder())
