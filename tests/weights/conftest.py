"""Checkpoints in the released format: the reference ones, and generated ones of a few thousand numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.weights.released_names import our_name

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
NETWORKS = {
    "r": (HermesResUNet, {"base_width": 4, "num_modalities": 3}),
    "m": (
        HermesMedFormer,
        {
            "base_width": 4,
            "widths": (8, 16, 32, 40, 32, 16, 8, 4),
            "attention_blocks": (1, 2, 2, 2, 1),
            "num_codes": 8,
            "head_width": 8,
            "fusion_width": 40,
            "num_modalities": 3,
        },
    ),
}
TASK_ROWS = 6


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


@pytest.fixture(params=["r", "m"])
def topology(request) -> str:
    """Hermes-R, then Hermes-M."""
    return request.param


@pytest.fixture
def reference(topology) -> Reference:
    """Skipped where the reference numbers are not here."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference numbers in {REFERENCE}")
    arrays = np.load(REFERENCE / f"hermes_{topology}_tiny_io.npz")
    return Reference(REFERENCE / f"hermes_{topology}_tiny.pth", dict(arrays))


def released_names(topology: str) -> list[str]:
    """Names of the released tensors (of M: of the reference network, which has fewer blocks)."""
    return (Path(__file__).parent / f"released_names_{topology}.txt").read_text().split()


def write_released(topology: str, path: Path, task_rows: int = TASK_ROWS, **changes) -> Path:
    """Write a checkpoint in the released format with random weights; the average is the weights plus one."""
    torch.manual_seed(0)
    network_class, arguments = NETWORKS[topology]
    state = network_class(1, task_rows, **{**arguments, **changes}).state_dict()
    weights = {name: state[our_name(name, network_class)] for name in released_names(topology)}
    averaged = {name: tensor + 1 for name, tensor in weights.items()}
    content = {"epoch": 1, "model_state_dict": weights, "ema_model_state_dict": averaged, "optimizer_state_dict": {}}
    torch.save(content, path)
    return path


@pytest.fixture
def names(topology) -> list[str]:
    return released_names(topology)


@pytest.fixture
def network_class(topology) -> type:
    return NETWORKS[topology][0]


@pytest.fixture
def released(topology, tmp_path) -> Path:
    """A generated checkpoint with 6 rows of tasks and 3 of modalities."""
    return write_released(topology, tmp_path / f"hermes_{topology}.pth")


@pytest.fixture
def make_released():
    """See write_released."""
    return write_released


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
    path.write_text(
        """
        format_version: 1
        rows_per_case: 4
        members:
          abdomen: {modality: CT, labels: [liver, spleen, aorta]}
          abdomen_mr: {dataset: AbdomenMR, modality: T1, tasks_of: abdomen, labels: [aorta, liver]}
          heart: {modality: unknown, labels: [left, right]}
        modalities: [CT, T1, unknown]
        """
    )
    return path
