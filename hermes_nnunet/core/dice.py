"""Dice of segmentation files against references, by case, label and member."""

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.label_values import IGNORE, foreground_values
from hermes_nnunet.errors import HermesError

if TYPE_CHECKING:
    from rich.table import Table

LabelDice = dict[str, float]
CaseDice = dict[str, LabelDice]

# Affines pass through float32 headers; a hundredth of a mm is far below any voxel.
_SAME_PLACE_MM = 1e-2


def dice_of_case(
    prediction: str | os.PathLike[str], reference: str | os.PathLike[str], labels: Mapping[str, int | list[int]]
) -> LabelDice:
    """Dice of every label or region, by name; nan where neither file holds it.

    Args:
        prediction: NIfTI label map.
        reference: NIfTI label map on the same voxels.
        labels: `labels` of a dataset.json. Background (0) is not scored, and where an ignore label is among them,
            its voxels in the reference do not count.

    Raises:
        HermesError: the files differ in shape or place.
    """
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIO

    _check_same_geometry(Path(prediction), Path(reference))
    values = foreground_values(labels)
    metrics = compute_metrics(str(reference), str(prediction), NibabelIO(), list(values.values()), labels.get(IGNORE))[
        "metrics"
    ]
    return {name: float(metrics[value]["Dice"]) for name, value in values.items()}


def dice_of_folder(
    predictions: str | os.PathLike[str], references: str | os.PathLike[str], dataset_json: Mapping[str, Any]
) -> CaseDice:
    """Dice of every reference file, by case and label.

    Raises:
        HermesError: there are no references, or a reference has no prediction, or the two differ in geometry.
    """
    ending = dataset_json["file_ending"]
    files = sorted(Path(references).glob(f"*{ending}"))
    if not files:
        raise HermesError(f"{references} holds no *{ending} file to compare with: check the folder of references")
    missing = [file.name for file in files if not (Path(predictions) / file.name).exists()]
    if missing:
        raise HermesError(f"{predictions} has no {missing[0]} ({len(missing)} missing in all): predict this case first")
    return {
        file.name.removesuffix(ending): dice_of_case(Path(predictions) / file.name, file, dataset_json["labels"])
        for file in files
    }


def defined_by_task(cases: CaseDice) -> dict[str, list[float]]:
    """Dice of every task in the cases where it is defined, ascending."""
    names = dict.fromkeys(name for scores in cases.values() for name in scores)
    return {
        name: sorted(own[name] for own in cases.values() if not math.isnan(own.get(name, math.nan))) for name in names
    }


def mean_by_label(cases: CaseDice) -> LabelDice:
    """Mean over cases, leaving out the undefined ones; nan for a label that no case defines."""
    return {name: mean_of_defined(values) for name, values in defined_by_task(cases).items()}


def mean_of_defined(values: Iterable[float]) -> float:
    """Mean of the numbers that are not nan, or nan without any."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def mean_dice(cases: CaseDice) -> float:
    """Mean over labels of the means over cases, so that a rare label counts as much as a common one."""
    return mean_of_defined(mean_by_label(cases).values())


def dice_table(members: Mapping[str, CaseDice], title: str = "Dice on held-out cases") -> "Table":
    """One line a member and label, and the mean of each member."""
    from rich.table import Table

    table = Table(title=title)
    for column in ("member", "label"):
        table.add_column(column)
    for column in ("cases", "Dice"):
        table.add_column(column, justify="right")
    for member, cases in members.items():
        defined = defined_by_task(cases)
        for label, mean in mean_by_label(cases).items():
            table.add_row(member, label, str(len(defined[label])), f"{mean:.3f}")
        table.add_row(f"[bold]{member}", "[bold]mean", "", f"[bold]{mean_dice(cases):.3f}", end_section=True)
    overall = mean_of_defined(mean_dice(cases) for cases in members.values())
    table.add_row("[bold]all members", "[bold]mean", "", f"[bold]{overall:.3f}")
    return table


def _check_same_geometry(prediction: Path, reference: Path) -> None:
    first, second = (open_image(path).geometry for path in (prediction, reference))
    if first.shape != second.shape:
        raise HermesError(
            f"{prediction} has {first.shape} voxels, {reference} has {second.shape}: compare files of the same image"
        )
    if not np.allclose(first.affine, second.affine, atol=_SAME_PLACE_MM):
        raise HermesError(
            f"{prediction} and {reference} lie in different places (their affines differ): compare files of the same "
            "image"
        )
