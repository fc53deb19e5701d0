"""What a trained model's folder tells about its training and validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.checkpoints import best_checkpoint, read_checkpoint
from hermes_nnunet.core.dice import CaseDice
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.learning_curves import FILE_NAME, Epoch, LearningCurves
from hermes_nnunet.prediction.held_out_dice import FOLD_OF_ALL, Validation, read_validation
from hermes_nnunet.prediction.model_folder import ModelFolder, read_model_folder

VALIDATION = "validation"


@dataclass(frozen=True)
class Fold:
    """A trained fold.

    Attributes:
        name: "0" to "4", or "all".
        folder: of the fold.
        curves: its learning curves; without values by member if it was trained before these were kept.
        has_member_curves: whether the curves have values by member.
        validation: Dice of its held-out cases by member, of fold "all" that of its training cases; empty before the
            validation.
    """

    name: str
    folder: Path
    curves: LearningCurves
    has_member_curves: bool
    validation: Validation

    @property
    def dice(self) -> dict[str, CaseDice]:
        return self.validation.dice


@dataclass(frozen=True)
class TrainedModel:
    """A universal model with its folds."""

    content: ModelFolder
    collection: Collection
    folds: tuple[Fold, ...]

    @property
    def dice(self) -> dict[str, CaseDice]:
        """Final Dice by member of the held-out cases of all folds, in the order of the collection.

        Where no case was held out it is that of the training cases, see `dice_is_of_training_cases`.
        """
        pooled: dict[str, CaseDice] = {}
        for name in self.collection.members:
            cases = {case: dice for fold in self._folds_of_dice for case, dice in fold.dice.get(name, {}).items()}
            if cases:
                pooled[name] = cases
        return pooled

    @property
    def dice_is_of_training_cases(self) -> bool:
        """Whether `dice` tells nothing of new images, since only fold "all" was validated."""
        return any(fold.name == FOLD_OF_ALL for fold in self._folds_of_dice)

    def fold_of(self, case: str) -> Fold:
        """The last fold whose validation has a case: the one that `dice` is from."""
        return next(fold for fold in reversed(self._folds_of_dice) if any(case in own for own in fold.dice.values()))

    @property
    def _folds_of_dice(self) -> list[Fold]:
        validated = [fold for fold in self.folds if fold.dice]
        return [fold for fold in validated if fold.name != FOLD_OF_ALL] or validated


def read_trained_model(folder: Path, folds: Sequence[str] | None = None) -> TrainedModel:
    """Read a model; by default its finished folds, or those in training where none is finished.

    Raises:
        HermesError: the folder is a view or not of Hermes, or a fold is missing.
    """
    content = read_model_folder(folder, folds, best_checkpoint(folder))
    if content.collection is None:
        raise HermesError(f"{folder} is a view of one data set: give the model of the collection that it was made from")
    collection = content.collection
    return TrainedModel(
        content, collection, tuple(_read_fold(path.parent, path, collection) for path in content.checkpoints)
    )


def _read_fold(folder: Path, checkpoint: Path, collection: Collection) -> Fold:
    recorded = folder / FILE_NAME
    has_member_curves = recorded.is_file()
    curves = LearningCurves.read(recorded) if has_member_curves else _logged_curves(checkpoint, collection)
    validation = read_validation(folder, collection)
    return Fold(folder.name.removeprefix("fold_"), folder, curves, has_member_curves, validation)


def _logged_curves(checkpoint: Path, collection: Collection) -> LearningCurves:
    """What nnU-Net logs in every checkpoint: the same without members."""
    logged = read_checkpoint(checkpoint).get("logging") or {}
    columns = (logged.get(key, []) for key in ("lrs", "train_losses", "val_losses", "dice_per_class_or_region"))
    epochs = [
        Epoch(epoch, rate, train, validation, dict(zip(collection.task_names, map(float, dice), strict=True)), {})
        for epoch, (rate, train, validation, dice) in enumerate(zip(*columns, strict=False))
    ]
    return LearningCurves(epochs, {})
