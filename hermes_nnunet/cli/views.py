"""hermes_nnunet views: make the members' model folders from a universal model."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("dataset", help="id or name of the collection, for example 900")
    parser.add_argument("configuration", help="nnU-Net configuration, for example 3d_fullres")
    parser.add_argument("-f", "--folds", nargs="+", default=None, metavar="FOLD", help="default: every finished fold")
    parser.add_argument("-tr", "--trainer", default="HermesTrainer", help="default: %(default)s")
    parser.add_argument(
        "--replace-views", action="store_true", help="also replace views of another model, which are deleted"
    )
    parser.add_argument("-p", "--plans", default="HermesPlans", help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Write the views; exit code 1 where a folder that is not ours, or another model's view, was in the way."""
    from nnunetv2.utilities.file_path_utilities import get_output_folder

    from hermes_nnunet.core.nnunet_folders import RESULTS, set_folder
    from hermes_nnunet.errors import HermesError
    from hermes_nnunet.prediction.views.write import CHECKPOINTS, MARKER, write_views

    results = set_folder(RESULTS)
    try:
        folder = get_output_folder(arguments.dataset, arguments.trainer, arguments.plans, arguments.configuration)
    except RuntimeError as error:
        raise HermesError(f"collection {arguments.dataset}: {str(error).splitlines()[0]}") from None
    model = Path(folder)
    if (model / MARKER).is_file():
        raise HermesError(f"{model} is a view itself: give the id of the collection that it was made from")
    folds = arguments.folds
    if folds is None:
        folds = [f.parent.name.removeprefix("fold_") for f in sorted(model.glob(f"fold_*/{CHECKPOINTS[0]}"))]
        if not folds:
            raise HermesError(f"{model} has no finished fold: train one with nnUNetv2_train {arguments.dataset} ...")
    messages = write_views(model, results, folds, replace=arguments.replace_views)
    print("\n".join(messages))
    return int(any("left alone" in message for message in messages))
