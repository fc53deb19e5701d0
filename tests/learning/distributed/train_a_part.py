"""A process that trains on its part of batches that are the same in every run; started by conftest.py.

python train_a_part.py REPORT MEETING RANK PROCESSES
"""

import json
import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import distributed
from torch._dynamo import OptimizedModule

IGNORE = 7
# In the second batch the first process has unknown modalities only, in the third the second process has no label.
BATCHES = (
    ("abdomen__a", "brain__a", "chest__a"),
    ("chest__a", "chest__b", "abdomen__b"),
    ("abdomen__a", "brain__b", "brain__a"),
)
UNLABELLED = (2, 2)
compile_quickly = partial(torch.compile, backend="eager")


def batches() -> list[dict[str, Any]]:
    """The whole batches, labels at two resolutions."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for number, cases in enumerate(BATCHES):
        labels = torch.randint(0, IGNORE + 1, (len(cases), 1, 16, 16, 16), generator=generator).short()
        if number == UNLABELLED[0]:
            labels[UNLABELLED[1]] = IGNORE
        image = torch.randn(labels.shape, generator=generator)
        made.append({"data": image, "target": [labels, labels[..., ::2, ::2, ::2]], "keys": np.array(cases)})
    return made


def part(batch: dict[str, Any], first: int, size: int) -> dict[str, Any]:
    """Some cases of a batch."""
    chosen = slice(first, first + size)
    return {
        "data": batch["data"][chosen],
        "target": [labels[chosen] for labels in batch["target"]],
        "keys": batch["keys"][chosen],
    }


def new_trainer(rank: int, name: str = "HermesTrainer", compiled: bool = False) -> Any:
    """A trainer whose weights differ in every process until the first process's are sent to all."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    folder = Path(os.environ["nnUNet_preprocessed"]) / "Dataset900_Three"
    plans = json.loads((folder / "HermesPlans.json").read_text())
    trainer = recursive_find_trainer_class_by_name(name)(
        {**plans, "continue_training": False},
        "3d_fullres",
        0,
        json.loads((folder / "dataset.json").read_text()),
        torch.device("cpu"),
    )
    torch.manual_seed(rank)
    with patch.object(trainer, "_do_i_compile", lambda: compiled), patch("torch.compile", compile_quickly):
        trainer.initialize()
    return trainer


def parts_of(trainer: Any, rank: int, processes: int) -> list[dict[str, Any]]:
    """This process's parts of the batches, as nnU-Net splits them."""
    sizes = [2, 1] if processes == 2 else [3]
    assert trainer.batch_size == sizes[rank]
    return [part(batch, sum(sizes[:rank]), sizes[rank]) for batch in batches()]


def copy_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.items()}


def train(rank: int, processes: int, compiled: bool) -> tuple[Any, dict[str, Any]]:
    """The trainer after plain gradient descent (AdamW makes full steps out of rounding errors), and a report."""
    trainer = new_trainer(rank, compiled=compiled)
    network = trainer.network.module if processes > 1 else trainer.network
    assert isinstance(network, OptimizedModule) == compiled
    trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), 0.2, momentum=0.9)
    before = copy_of(trainer.bare_network.state_dict())
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(batch) for batch in parts_of(trainer, rank, processes)])
    loss = float(trainer.logger.get_value("train_losses", -1))
    assert trainer.extra.rows == 2
    return trainer, {"before": before, "after": trainer.bare_network.state_dict(), "train loss": loss}


def report(rank: int = 0, processes: int = 1) -> dict[str, Any]:
    """Train and validate."""
    trainer, trained = train(rank, processes, compiled=False)
    trainer.on_validation_epoch_start()
    with torch.no_grad():
        outputs = [trainer.validation_step(batch) for batch in parts_of(trainer, rank, processes)]
    trainer.on_validation_epoch_end(outputs)
    return {
        **trained,
        "validation loss": float(trainer.logger.get_value("val_losses", -1)),
        "Dice": [float(dice) for dice in trainer.logger.get_value("dice_per_class_or_region", -1)],
    }


def report_of_paper(rank: int, processes: int) -> dict[str, Any]:
    """Weights and their moving average after some steps of the paper's recipe."""
    trainer = new_trainer(rank, "HermesTrainerPaper")
    before = copy_of(trainer.bare_network.state_dict())
    for batch in parts_of(trainer, rank, processes):
        trainer.train_step(batch)
    return {"before": before, "after": trainer.bare_network.state_dict(), "average": trainer.average.state_aside()}


if __name__ == "__main__":
    rank, processes = int(sys.argv[3]), int(sys.argv[4])
    distributed.init_process_group(
        "gloo", f"file://{sys.argv[2]}", timedelta(seconds=120), rank=rank, world_size=processes
    )
    reports = {
        "plain": report(rank, processes),
        "compiled": train(rank, processes, compiled=True)[1],
        "paper": report_of_paper(rank, processes),
    }
    torch.save(reports, sys.argv[1])
    distributed.destroy_process_group()
