"""hermes_nnunet import-weights: turn the paper's released weights into nnU-Net models."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("checkpoint", help="the .pth file of the release, Hermes-R or Hermes-M")
    parser.add_argument("--into", type=int, required=True, metavar="ID", help="id of the universal model, 1 to 999")
    parser.add_argument(
        "--name", default="Hermes", help="its name: the folder will be Dataset<ID>_<NAME> (default: %(default)s)"
    )
    parser.add_argument(
        "--ema", action="store_true", help="take the moving average of the weights, which the paper evaluates"
    )
    parser.add_argument(
        "--members",
        metavar="FILE",
        help="YAML table of the members, for weights of other data sets than the paper's (docs/paper.md)",
    )
    parser.add_argument(
        "--voxel-order",
        metavar="XYZ",
        help="voxel order of all images that the weights were trained on, as nibabel writes it: LPS, RAS, LAS, ... "
        "(default: what the table of members says)",
    )
    parser.add_argument(
        "--choose-order",
        action="append",
        default=[],
        metavar="MEMBER=IMAGES,LABELS",
        help="predict labelled cases of a member (two files or two folders, up to three cases) in every voxel order, "
        "and take the one with the best Dice; may be given for several members",
    )
    parser.add_argument(
        "--replace-views",
        action="store_true",
        help="also replace the members' model folders of another model, which are deleted",
    )
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument(
        "--config",
        metavar="FILE",
        help="YAML configuration of the release (config/universal/hermes_*_3d.yaml) that the weights were trained "
        "with: it has what the weights do not tell (strides, activation, attention heads)",
    )
    settings.add_argument(
        "--head-width",
        type=int,
        metavar="N",
        help="channels of an attention head of Hermes-M (default: 32; if the base width is below 16, twice the "
        "base width)",
    )
    parser.add_argument(
        "--probe",
        metavar="FILE",
        help="npz file with an image and the logits that the paper's code computes for it (docs/paper.md); the import "
        "is refused if ours differ",
    )


def run(arguments: argparse.Namespace) -> int:
    """Import, and print what was made; exit code 1 where something that is not this model's was in the way of a view.

    Raises:
        HermesError: the checkpoint, the members' file or the target does not allow it.
    """
    from pathlib import Path

    from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
    from rich.console import Console

    from hermes_nnunet.core.nnunet_folders import RESULTS, set_folder
    from hermes_nnunet.data.merge.specification import check_id, check_word
    from hermes_nnunet.weights.choosing_order import LabelledCases
    from hermes_nnunet.weights.importing import import_weights
    from hermes_nnunet.weights.report import print_import

    results = set_folder(RESULTS)
    check_id(arguments.into, "--into")
    check_word(arguments.name, "--name")
    result = import_weights(
        arguments.checkpoint,
        into=arguments.into,
        name=arguments.name,
        results=results,
        data_folders=tuple(Path(folder) for folder in (nnUNet_raw, nnUNet_preprocessed) if folder.is_set()),
        averaged=arguments.ema,
        members_file=arguments.members,
        voxel_order=arguments.voxel_order,
        labelled_cases=[LabelledCases.parse(text) for text in arguments.choose_order],
        head_width=arguments.head_width,
        replace_views=arguments.replace_views,
        config=arguments.config,
        probe=arguments.probe,
    )
    print_import(result, Console())
    return int(any("left alone" in line for line in result.views))
