"""Volume and mean intensity of what was segmented."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hermes_nnunet.core.files import read_json, write_json, written_beside
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.errors import HermesError

JSON_FILE = "statistics.json"
CSV_FILE = "statistics.csv"
FORMAT_VERSION = 1

# Task -> {"volume_ml": ..., "mean_intensity": ...}.
CaseStatistics = dict[str, dict[str, float | None]]

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
    content = read_json(path, "remove it and predict again")
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION or "cases" not in content:
        raise HermesError(f"{path} is not of format version {FORMAT_VERSION}: remove it and predict again")
    return content["cases"]


def write_statistics(cases: Mapping[str, CaseStatistics], folder: Path) -> None:
    """Write statistics.json and statistics.csv, a line for each case and task."""
    cases = dict(sorted(cases.items()))
    with written_beside(folder / CSV_FILE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "task", "volume_ml", "mean_intensity"])
        for case, tasks in cases.items():
            for task, entry in tasks.items():
                writer.writerow([case, task, entry["volume_ml"], entry["mean_intensity"]])
    content: dict[str, Any] = {"format_version": FORMAT_VERSION, "cases": cases}
    write_json(content, folder / JSON_FILE)
