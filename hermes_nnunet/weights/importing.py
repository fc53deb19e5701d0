"""Released weights -> a universal model and a view for each member."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hermes_nnunet.core.paper.members import MemberTable, paper_members, read_member_table
from hermes_nnunet.prediction.views.write import write_views
from hermes_nnunet.weights.checkpoint import read_released_weights
from hermes_nnunet.weights.conversion import convert
from hermes_nnunet.weights.identity import ImportedIdentity, choose_dataset_names, generic_identity, identity_of_members
from hermes_nnunet.weights.model_folder import FOLD, check_free, model_folder, write_model
from hermes_nnunet.weights.sizes import STEM, count_rows, network_arguments, network_class_of
from hermes_nnunet.weights.voxel_order import OUR_ORDER, flip_kernels, flipped_axes


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote.

    Attributes:
        folder: of the universal model.
        network: name of the network's class.
        identity: tasks and members.
        unused_rows: rows of the released task pool that no task takes.
        views: a line for each member.
    """

    folder: Path
    network: str
    identity: ImportedIdentity
    unused_rows: tuple[int, ...]
    views: list[str]


def import_weights(
    path: str | os.PathLike[str],
    *,
    into: int,
    name: str,
    results: Path,
    data_folders: tuple[Path, ...] = (),
    averaged: bool = False,
    members_file: str | os.PathLike[str] | None = None,
    voxel_order: str | None = None,
    head_width: int | None = None,
) -> ImportResult:
    """Import a checkpoint of the paper's release as model Dataset<into>_<name> with a view for each member.

    Everything is checked before anything is written. Weights with other rows than the paper's that come without a
    members' file get tasks by number and no views.

    Args:
        results: nnUNet_results.
        data_folders: nnUNet_raw and nnUNet_preprocessed, where members' data sets may already be.
        averaged: take the moving average of the weights.
        voxel_order: of the images that the weights were trained on; default: what the members' table says.
        head_width: see `network_arguments`.

    Raises:
        HermesError: the checkpoint, the members' file or the target does not allow the import.
    """
    weights = read_released_weights(path, averaged=averaged)
    where = str(path)
    network_class = network_class_of(weights, where)
    arguments = network_arguments(weights, network_class, where, head_width)
    task_rows, modality_rows = count_rows(weights, network_class, where)
    table = _table(members_file, task_rows, modality_rows)
    if table is None:
        identity = generic_identity(task_rows=task_rows, modality_rows=modality_rows)
        rows_per_case = max(task_rows, paper_members().rows_per_case)
        voxel_order = OUR_ORDER if voxel_order is None else voxel_order
    else:
        names = choose_dataset_names(table, into, (*data_folders, results))
        identity = identity_of_members(table, task_rows=task_rows, modality_rows=modality_rows, dataset_names=names)
        rows_per_case = table.rows_per_case
        voxel_order = table.voxel_order if voxel_order is None else voxel_order
    input_channels = weights[STEM].shape[1]
    with torch.device("meta"):  # names and shapes are enough
        network = network_class(input_channels, len(identity.rows), **arguments)
    state = flip_kernels(convert(weights, network, identity.rows, where), flipped_axes(voxel_order))
    dataset_name = f"Dataset{into:03d}_{name}"
    for folder in (*data_folders, results):
        check_free(folder, dataset_name)
    folder = model_folder(results, dataset_name, network_class)
    write_model(
        folder,
        state,
        identity,
        network_class=network_class,
        arguments=arguments,
        rows_per_case=rows_per_case,
        input_channels=input_channels,
        source={"checkpoint": str(Path(path).resolve()), "averaged": averaged, "voxel_order": voxel_order},
    )
    return ImportResult(
        folder=folder,
        network=network_class.__name__,
        identity=identity,
        unused_rows=tuple(row for row in range(task_rows) if row not in identity.rows),
        views=write_views(folder, results, [FOLD]),
    )


def _table(members_file: str | os.PathLike[str] | None, task_rows: int, modality_rows: int) -> MemberTable | None:
    """The members of the weights: those of the file, the paper's where the rows fit, or none."""
    if members_file is not None:
        return read_member_table(members_file)
    paper = paper_members()
    last = max(row for member in paper.members.values() for row in member.rows)
    # The released pools have a row more than there are tasks.
    fits = task_rows in (last + 1, last + 2) and modality_rows == len(paper.modalities)
    return paper if fits else None
