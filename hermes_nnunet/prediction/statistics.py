"""Volume and mean intensity of what was segmented."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typing_extensions import TypedDict

from hermes_nnunet.core.files import read_json, write_json, written_beside
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.schema import OURS, Measure, Text, shaped_as, versioned

JSON_FILE = "statistics.json"
CSV_FILE = "statistics.csv"
FORMAT_VERSION = 1

# Task -> {"volume_ml": ..., "mean_intensity": ...}.
CaseStatistics = dict[str, dict[str, float | None]]


class _Entry(TypedDict):
    volume_ml: Measure
    mean_intensity: Measure | None

    __pydantic_config__ = OURS  # type: ignore[misc]


@dataclass(frozen=True)
class _File:
    cases: dict[Text, Annotated[CaseStatistics, shaped_as(dict[Text, _Entry])]]

    __pydantic_config__ = OURS


_MM3_PER_ML = 1000


def statistics_of_mask(mask: np.ndarray, image: np.ndarray, voxel_mm3: float) -> dict[str, float | None]:
    """Volume (ml) and mean intensity (the image's own units; None for an empty mask) of a boolean mask."""
    count = int(np.count_nonzero(mask))
    total = float(image[mask].sum(dtype=np.float64)) if count else 0.0
    return _entry(count, total, voxel_mm3)


def statistics_of_label_map(
    label_map: np.ndarray, image: np.ndarray, labels: Sequence[Label], voxel_mm3: float
) -> CaseStatistics:
    """The same for every label of a label map; a region includes the labels within it."""
    voxels = label_map.ravel().astype(np.int64)
    length = 1 + max(voxels.max(initial=0), *(max(label.values) for label in labels))
    counts = np.bincount(voxels, minlength=length)
    totals = np.bincount(voxels, weights=image.ravel(), minlength=length)
    return {
        label.name: _entry(int(counts[list(label.values)].sum()), float(totals[list(label.values)].sum()), voxel_mm3)
        for label in labels
    }


def _entry(count: int, total: float, voxel_mm3: float) -> dict[str, float | None]:
    return {"volume_ml": count * voxel_mm3 / _MM3_PER_ML, "mean_intensity": total / count if count else None}


def read_statistics(folder: Path) -> dict[str, CaseStatistics]:
    """Statistics of the cases that were written before; empty where there is no file.

    Raises:
        HermesError: the file is not one of this release.
    """
    path = folder / JSON_FILE
    if not path.is_file():
        return {}
    remedy = "remove it and predict again"
    return versioned(_File, read_json(path, remedy), FORMAT_VERSION, str(path), remedy).cases


def write_statistics(cases: Mapping[str, CaseStatistics], folder: Path) -> None:
    """Write statistics.json and statistics.csv, a line for each case and task; none without cases."""
    if not cases:
        for name in (JSON_FILE, CSV_FILE):
            (folder / name).unlink(missing_ok=True)
        return
    cases = dict(sorted(cases.items()))
    with written_beside(folder / CSV_FILE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "task", "volume_ml", "mean_intensity"])
        for case, tasks in cases.items():
            for task, entry in tasks.items():
                writer.writerow([case, task, entry["volume_ml"], entry["mean_intensity"]])
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "cases": cases}
    write_json(content, folder / JSON_FILE)
