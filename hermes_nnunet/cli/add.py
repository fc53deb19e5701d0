"""hermes_nnunet add: put additions into a model, or take some out of it."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="additions (.hermes)")
    parser.add_argument(
        "-m",
        "--model",
        required=True,
        metavar="MODEL",
        help="folder of a universal model, or id of its data set",
    )
    parser.add_argument(
        "--without", nargs="+", action="extend", default=[], metavar="NAME", help="additions to take out of the model"
    )
    parser.add_argument(
        "--into", type=int, metavar="ID", help="make a new model of this id; default: change the model itself"
    )
    parser.add_argument("--name", help="of the new model: its folder will be Dataset<ID>_<NAME>")
    parser.add_argument("--replace-views", action="store_true", help="also where the views of another model are")
    group = parser.add_argument_group("model")
    group.add_argument("-tr", "--trainer", default="HermesTrainer", help="default: %(default)s")
    group.add_argument("-p", "--plans", default="HermesPlans", help="default: %(default)s")
    group.add_argument("-c", "--configuration", default="3d_fullres", help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Write the model and its views; exit code 1 where a folder that is not its own was in the way of a new view.

    Raises:
        HermesError: an addition does not fit, or the target is taken.
    """
    from rich.console import Console

    from hermes_nnunet.core.nnunet_folders import RESULTS, set_folder
    from hermes_nnunet.data.merge.specification import LARGEST_ID, check_word
    from hermes_nnunet.errors import HermesError
    from hermes_nnunet.prediction.model_folder import find_model_folder
    from hermes_nnunet.weights.additions.adding import add
    from hermes_nnunet.weights.additions.report import print_addition

    results = set_folder(RESULTS)
    if arguments.into is not None and not 1 <= arguments.into <= LARGEST_ID:
        raise HermesError(f"--into {arguments.into}: give an id from 1 to {LARGEST_ID}")
    if arguments.name is not None:
        check_word(arguments.name, "--name")
    result = add(
        arguments.files,
        find_model_folder(arguments.model, arguments.trainer, arguments.plans, arguments.configuration),
        results=results,
        without=arguments.without,
        into=arguments.into,
        name=arguments.name,
        replace_views=arguments.replace_views,
    )
    print_addition(result, Console())
    blocked = [view for view in result.views if "left alone" in view]
    return int(any(view.startswith(f"{name}: ") for name in result.added for view in blocked))
