"""hermes_nnunet add: put additions into a model, or take some out of it."""

import argparse

from hermes_nnunet.cli.model_arguments import MODEL_HELP, add_model_names, model_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="additions (.hermes)")
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--without", nargs="+", action="extend", default=[], metavar="NAME", help="additions to take out of the model"
    )
    parser.add_argument(
        "--into", type=int, metavar="ID", help="make a new model with this id; default: change the model itself"
    )
    parser.add_argument("--name", help="name of the new model: its folder will be Dataset<ID>_<NAME>")
    parser.add_argument("--replace-views", action="store_true", help="also replace views of another model")
    add_model_names(parser.add_argument_group("model"))


def run(arguments: argparse.Namespace) -> int:
    """Write the model and its views; exit code 1 where a folder that is not its own was in the way of a new view.

    Raises:
        HermesError: an addition does not fit, or the target is taken.
    """
    from rich.console import Console

    from hermes_nnunet.core.nnunet_folders import RESULTS, set_folder
    from hermes_nnunet.data.merge.specification import check_id, check_word
    from hermes_nnunet.weights.additions.adding import add
    from hermes_nnunet.weights.additions.model_folder import restore_named
    from hermes_nnunet.weights.additions.report import print_addition

    results = set_folder(RESULTS)
    if arguments.into is not None:
        check_id(arguments.into, "--into")
    if arguments.name is not None:
        check_word(arguments.name, "--name")
    # Before it is looked for: between two renames of a change in place there is none.
    restore_named(arguments.model, results)
    result = add(
        arguments.files,
        model_of(arguments),
        results=results,
        without=arguments.without,
        into=arguments.into,
        name=arguments.name,
        replace_views=arguments.replace_views,
    )
    print_addition(result, Console())
    blocked = [view for view in result.views if "left alone" in view]
    return int(any(view.startswith(f"{name}: ") for name in result.added for view in blocked))
