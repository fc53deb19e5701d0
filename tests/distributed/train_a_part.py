"""A process that trains on its part of batches that are the same in every run; started by conftest.py.

python train_a_part.py REPORT MEETING RANK PROCESSES
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

IGNORE = 7
# In the second batch the first process has unknown modalities only, in the third the second process has no label.
BATCHES = (
    ("abdomen__a", "brain__a", "chest__a"),
    ("chest__a", "chest__b", "abdomen__b"),
    ("abdomen__a", "brain__b", "brain__a"),
)
UNLABELLED = (2, 2)


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


def new_trainer(rank: int) -> Any:
    """A HermesTrainer with plain gradient descent: AdamW makes steps of full length out of rounding errors."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

    folder = Path(os.environ["nnUNet_preprocessed"]) / "Dataset900_Three"
    plans = json.loads((folder / "HermesPlans.json").read_text())
    trainer = HermesTrainer(
        {**plans, "continue_training": False},
        "3d_fullres",
        0,
        json.loads((folder / "dataset.json").read_text()),
        torch.device("cpu"),
    )
    torch.manual_seed(rank)  # the first process's weights count
    trainer.initialize()
    trainer.optimizer = torch.optim.SGD(trainer.network.parameters(), 0.2, momentum=0.9)
    return trainer


def report(rank: int = 0, processes: int = 1) -> dict[str, Any]:
    """Train and validate; what came of it."""
    trainer = new_trainer(rank)
    sizes = [2, 1] if processes == 2 else [3]
    assert trainer.batch_size == sizes[rank]
    parts = [part(batch, sum(sizes[:rank]), sizes[rank]) for batch in batches()]
    before = {name: value.clone() for name, value in trainer.bare_network.state_dict().items()}
    trainer.on_train_epoch_start()
    trained = [trainer.train_step(batch) for batch in parts]
    trainer.on_train_epoch_end(trained)
    trainer.on_validation_epoch_start()
    with torch.no_grad():
        trainer.on_validation_epoch_end([trainer.validation_step(batch) for batch in parts])
    return {
        "before": before,
        "after": trainer.bare_network.state_dict(),
        "train loss": float(trainer.logger.get_value("train_losses", -1)),
        "validation loss": float(trainer.logger.get_value("val_losses", -1)),
        "Dice": [float(dice) for dice in trainer.logger.get_value("dice_per_class_or_region", -1)],
    }


if __name__ == "__main__":
    rank, processes = int(sys.argv[3]), int(sys.argv[4])
    distributed.init_process_group(
        "gloo", f"file://{sys.argv[2]}", timedelta(seconds=120), rank=rank, world_size=processes
    )
    torch.save(report(rank, processes), sys.argv[1])
    distributed.destroy_process_group()
