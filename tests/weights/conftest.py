"""Checkpoints in the released format: the reference ones, and generated ones of a few thousand numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import MEMBERS_FILE

from hermes_nnunet.networks.context_batch import ContextBatch

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"


@dataclass(frozen=True)
class Reference:
    """A tiny network of the release, an input, and what the release computes for it."""

    checkpoint: Path
    arrays: dict[str, np.ndarray]

    @property
    def image(self) -> torch.Tensor:
        return torch.from_numpy(self.arrays["image"])

    @property
    def label(self) -> torch.Tensor:
        return torch.from_numpy(self.arrays["label"])

    @property
    def context(self) -> ContextBatch:
        task_index, modality_index = (
            torch.from_numpy(self.arrays[name]).long() for name in ("task_index", "modality_index")
        )
        # -1 is the last row, that of the unknown modality
        return ContextBatch(task_index, modality_index.flatten() % self.arrays["modality_logits"].shape[1])


@pytest.fixture
def reference(topology) -> Reference:
    """Skipped where the reference numbers are not here."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference numbers in {REFERENCE}")
    arrays = np.load(REFERENCE / f"hermes_{topology}_tiny_io.npz")
    return Reference(REFERENCE / f"hermes_{topology}_tiny.pth", dict(arrays))


@pytest.fixture
def names(topology) -> list[str]:
    return (Path(__file__).parent / f"released_names_{topology}.txt").read_text().split()


@pytest.fixture
def released(topology, tmp_path, make_released) -> Path:
    """A generated checkpoint with 6 rows of tasks and 3 of modalities."""
    return make_released(topology, tmp_path / f"hermes_{topology}.pth", task_rows=6, num_modalities=3)


@pytest.fixture
def results(tmp_path) -> Path:
    """An empty nnUNet_results."""
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def members_file(tmp_path) -> Path:
    """Members for the generated checkpoint: 5 of its 6 rows, one task shared."""
    path = tmp_path / "members.yaml"
    path.write_text(MEMBERS_FILE)
    return path
