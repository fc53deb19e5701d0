"""Released weights -> a universal model and a view for each member."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hermes_nnunet.core.paper.members import MemberTable, paper_members, read_member_table
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.views.write import write_views
from hermes_nnunet.voxel_orders import OUR_ORDER, turn_of
from hermes_nnunet.weights.checkpoint import read_released_weights
from hermes_nnunet.weights.choosing_order import LabelledCases, OrderScores, score_orders
from hermes_nnunet.weights.conversion import convert
from hermes_nnunet.weights.identity import ImportedIdentity, choose_dataset_names, generic_identity, identity_of_members
from hermes_nnunet.weights.model_folder import FOLD, ImportedModel, check_free, model_folder, write_model
from hermes_nnunet.weights.probing import check_probe
from hermes_nnunet.weights.settings import settings_in_words, settings_of_config
from hermes_nnunet.weights.sizes import STEM, count_rows, network_arguments, network_class_of


@dataclass(frozen=True)
class ImportResult:
    """What an import wrote.

    Attributes:
        folder: of the universal model.
        network: name of the network's class.
        identity: tasks and members.
        unused_rows: rows of the released task pool that no task takes.
        voxel_orders: of each member.
        scores: of the voxel orders that were tried.
        notices: lines that people should read.
        views: a line for each member.
    """

    folder: Path
    network: str
    identity: ImportedIdentity
    unused_rows: tuple[int, ...]
    voxel_orders: Mapping[str, str]
    scores: list[OrderScores]
    notices: list[str]
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
    replace_views: bool = False,
    voxel_order: str | None = None,
    labelled_cases: Sequence[LabelledCases] = (),
    head_width: int | None = None,
    config: str | os.PathLike[str] | None = None,
    probe: str | os.PathLike[str] | None = None,
) -> ImportResult:
    """Import a checkpoint of the paper's release as model Dataset<into>_<name> with a view for each member.

    Everything is checked before anything is written. Weights with other rows than the paper's that come without a
    members' file get tasks by number and no views.

    Args:
        results: nnUNet_results.
        data_folders: nnUNet_raw and nnUNet_preprocessed, where members' data sets may already be.
        averaged: take the moving average of the weights.
        replace_views: see `write_views`.
        voxel_order: of all images that the weights were trained on; default: what the members' table says.
        labelled_cases: of members whose order is to be chosen by the Dice of these cases.
        head_width: see `network_arguments`.
        config: the release's YAML file, for the settings that no tensor tells.
        probe: see `check_probe`.

    Raises:
        HermesError: the checkpoint, the members' file, the configuration, the probe, the cases or the target do not
            allow the import.
    """
    weights = read_released_weights(path, averaged=averaged)
    where = str(path)
    network_class = network_class_of(weights, where)
    arguments = network_arguments(weights, network_class, where, head_width)
    task_rows, modality_rows = count_rows(weights, network_class, where)
    if config is not None:
        told = settings_of_config(config, network_class, arguments, task_rows=task_rows, modality_rows=modality_rows)
        arguments = {**arguments, **told}
    table = _table(members_file, task_rows, modality_rows)
    if voxel_order is not None:
        turn_of(voxel_order)
    if table is None:
        if labelled_cases:
            raise HermesError("--choose-order needs the members of the weights: give their table with --members FILE")
        identity = generic_identity(task_rows=task_rows, modality_rows=modality_rows)
    else:
        names = choose_dataset_names(table, into, (*data_folders, results))
        identity = identity_of_members(table, task_rows=task_rows, modality_rows=modality_rows, dataset_names=names)
        for labelled in labelled_cases:
            table[labelled.member]  # says which there are
    input_channels = weights[STEM].shape[1]
    with torch.device("meta"):  # names and shapes are enough
        network = network_class(input_channels, len(identity.rows), **arguments)
    model = ImportedModel(
        network_class,
        arguments,
        convert(weights, network, identity.rows, where),
        identity,
        input_channels,
        rows_per_case=task_rows + 1 if table is None else table.rows_per_case or table.most_rows,
        voxel_order=voxel_order or (OUR_ORDER if table is None else table.voxel_order),
        voxel_orders={} if table is None else {m.name: voxel_order or m.voxel_order for m in table.members.values()},
    )
    dataset_name = f"Dataset{into:03d}_{name}"
    for folder in (*data_folders, results):
        check_free(folder, dataset_name)
    folder = model_folder(results, dataset_name, network_class)
    notices = [*_notice_of_settings(model, config), *_notice_of_rows(table)]
    if probe is not None:
        notices.append(f"{probe}: logits differ by {check_probe(model, probe):.2g} of the largest one")
    scores = [score_orders(model, labelled) for labelled in labelled_cases]
    model = replace(model, voxel_orders={**model.voxel_orders, **{own.member: own.best for own in scores}})
    source = {
        "checkpoint": str(Path(path).resolve()),
        "averaged": averaged,
        "voxel_order": model.voxel_order,
        "voxel_orders": model.voxel_orders,
    }
    write_model(folder, model, source)
    return ImportResult(
        folder=folder,
        network=network_class.__name__,
        identity=identity,
        unused_rows=tuple(row for row in range(task_rows) if row not in identity.rows),
        voxel_orders=model.voxel_orders,
        scores=scores,
        notices=notices,
        views=write_views(folder, results, [FOLD], replace=replace_views),
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


def _notice_of_settings(model: ImportedModel, config: str | os.PathLike[str] | None) -> list[str]:
    words = settings_in_words(model.network_class, model.arguments)
    if config is not None:
        return [f"as {config} says: {words}"]
    return [f"assumed, as no tensor tells it: {words} (--config FILE reads the release's YAML, --probe FILE compares)"]


def _notice_of_rows(table: MemberTable | None) -> list[str]:
    if table is None or table.rows_per_case is None:
        return []
    return [
        f"rows_per_case {table.rows_per_case} of the members' file: cases are no longer padded to it, but run with "
        "their tasks and one null row, as the release evaluates"
    ]
