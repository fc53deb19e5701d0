"""Moving averages of the weights that a training keeps beside them, each validated as a model of its own."""

import shutil
from dataclasses import dataclass

from comparison.data import CONFIGURATION, Workplace
from comparison.running import Training
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.learning_curves import FILE_NAME as LEARNING_CURVES

# After so many times 1 / (1 - decay) updates a 20,000th of what was there before is left.
FORGOTTEN_AFTER = 10
FILES_OF_MODEL = ("plans.json", "dataset.json")


def average_file(decay: float) -> str:
    """Name of the checkpoint whose weights are the average, beside the others of the fold."""
    return f"checkpoint_average_{decay:g}.pth"


def is_whole(updates: int, decay: float, batches: int) -> bool:
    """Whether an average is that of an uninterrupted training: an interruption starts it anew."""
    return updates >= min(batches, FORGOTTEN_AFTER / (1 - decay))


@dataclass(frozen=True)
class AveragedTraining(Training):
    """The final validation of an average that another training kept.

    Attributes:
        trained: the training.
        decay: one of its recipe's `kept_averages`.
    """

    trained: Training | None = None
    decay: float = 0.0

    @classmethod
    def of(cls, training: Training, decay: float) -> "AveragedTraining":
        name = f"{training.name}_average_{decay:g}"
        return cls(name, training.arm, training.recipe, training.fold, training.dataset, training, decay)

    def run(self, workplace: Workplace, device: str) -> None:
        """Train, where that is not done, then validate the average.

        Raises:
            HermesError: the training was interrupted near its end, so that it has no whole average.
        """
        assert self.trained is not None
        self.trained.run(workplace, device)
        if self.is_done(workplace):
            return
        source, own = self.trained.fold_folder(workplace), self.fold_folder(workplace)
        weights = source / average_file(self.decay)
        if not weights.is_file():
            raise HermesError(f"{weights} is missing, as the training was interrupted near its end: delete {source}")
        own.mkdir(parents=True, exist_ok=True)
        for name in FILES_OF_MODEL:
            shutil.copy(source.parent / name, own.parent)
        if (source / LEARNING_CURVES).is_file():
            shutil.copy(source / LEARNING_CURVES, own)
        shutil.copy(weights, own / "checkpoint_final.pth")
        self.recipe.write(self.folder(workplace) / "recipe.json")
        model = (self.dataset, CONFIGURATION, self.fold, "-tr", self.trainer, "-p", self.plans)
        environment = self.environment(workplace)
        workplace.run(self.name, "nnUNetv2_train", *model, "-device", device, "--val", environment=environment)
