"""Nearest neighbours of every task and modality as a table."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hermes_nnunet.core.files import written_beside
from hermes_nnunet.insight.priors.similarity import nearest
from hermes_nnunet.insight.priors.tasks import TaskOrigin

NEIGHBOURS = 5
COLUMNS = (
    "kind",
    "name",
    "member",
    "modality",
    "rank",
    "neighbour",
    "neighbour_member",
    "neighbour_modality",
    "cosine",
)


def write_neighbours(
    path: Path,
    tasks: Sequence[TaskOrigin],
    task_similarity: np.ndarray,
    modalities: Sequence[str],
    modality_similarity: np.ndarray,
) -> None:
    """Write a CSV with a row for each of the NEIGHBOURS nearest of every task and modality."""
    origins_of_modalities = [TaskOrigin(modality, "", modality) for modality in modalities]
    with written_beside(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for kind, origins, similarity in (
            ("task", tasks, task_similarity),
            ("modality", origins_of_modalities, modality_similarity),
        ):
            for row, own in enumerate(origins):
                for rank, other in enumerate(nearest(similarity, row, NEIGHBOURS), start=1):
                    near = origins[other]
                    cosine = f"{similarity[row, other]:.4f}"
                    writer.writerow(
                        (kind, own.name, own.member, own.modality, rank, near.name, near.member, near.modality, cosine)
                    )
