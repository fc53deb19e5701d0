"""One training of the comparison with stock nnUNetv2_train, which a killed process continues."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison.data import (
    COLLECTION_ID,
    CONFIGURATION,
    HERMES_PLANS,
    MASKED_PLANS,
    NAIVE_PLANS,
    SINGLE_PLANS,
    Workplace,
)
from comparison.memory import memory_of_epochs
from comparison.recipe import ENVIRONMENT_VARIABLE, EPOCHS, OF_ADDITION, OF_HERMES, OF_TRANSFER, Recipe
from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.files import read_json
from hermes_nnunet.learning.training.learning_curves import FILE_NAME as LEARNING_CURVES
from hermes_nnunet.learning.training.learning_curves import LearningCurves

PLAIN_TRAINER, HERMES_TRAINER = "ComparisonTrainer", "ComparisonHermesTrainer"
ADDITION_TRAINER, TRANSFER_TRAINER = "ComparisonAdditionTrainer", "ComparisonTransferTrainer"
TRAINER_AND_PLANS = {
    "single": (PLAIN_TRAINER, SINGLE_PLANS),
    "naive": (PLAIN_TRAINER, NAIVE_PLANS),
    "masked": (HERMES_TRAINER, MASKED_PLANS),
    "hermes": (HERMES_TRAINER, HERMES_PLANS),
    "addition": (ADDITION_TRAINER, HERMES_PLANS),
    "transfer": (TRANSFER_TRAINER, HERMES_PLANS),
}
# Settings of a recipe that a trainer does not read.
NOT_READ = {
    PLAIN_TRAINER: (*OF_HERMES, *OF_TRANSFER, *OF_ADDITION),
    HERMES_TRAINER: (*OF_TRANSFER, *OF_ADDITION),
    ADDITION_TRAINER: OF_TRANSFER,
    TRANSFER_TRAINER: OF_ADDITION,
}
# Arguments of a network that say how large it is and what it is told.
SIZES_OF_NETWORK = ("features_per_stage", "n_blocks_per_stage", "tokens_per_modality", "modality_norms")


@dataclass(frozen=True)
class Conditions:
    """What the trainings of a question have in common.

    Attributes:
        batches: of each single model; a model of the collection gets as many for each member.
        device: nnU-Net's -device.
    """

    batches: int
    seed: int
    device: str


@dataclass(frozen=True)
class Training:
    """One training and its final validation.

    Attributes:
        name: also of its folder in FOLDER/runs.
        arm: a key of TRAINER_AND_PLANS.
        dataset: id of the member (arm 'single') or of the collection.
    """

    name: str
    arm: str
    recipe: Recipe
    fold: int = 0
    dataset: int = COLLECTION_ID

    @property
    def trainer(self) -> str:
        """Name of nnU-Net's -tr."""
        return TRAINER_AND_PLANS[self.arm][0]

    @property
    def plans(self) -> str:
        """Name of nnU-Net's -p."""
        return TRAINER_AND_PLANS[self.arm][1]

    def folder(self, workplace: Workplace) -> Path:
        """Everything that the training leaves."""
        return workplace.folder / "runs" / self.name

    def fold_folder(self, workplace: Workplace) -> Path:
        """nnU-Net's folder of the fold."""
        dataset = workplace.preprocessed(self.dataset).name
        model = f"{self.trainer}__{self.plans}__{CONFIGURATION}"
        return self.folder(workplace) / "nnUNet_results" / dataset / model / f"fold_{self.fold}"

    def validation(self, workplace: Workplace) -> Path:
        """Segmentations of the held-out cases."""
        return self.fold_folder(workplace) / "validation"

    def is_done(self, workplace: Workplace) -> bool:
        return (self.validation(workplace) / "summary.json").is_file()

    def environment(self, workplace: Workplace) -> dict[str, str]:
        """What the commands need to know beside the workplace's own."""
        folder = self.folder(workplace)
        return {
            "nnUNet_results": str(folder / "nnUNet_results"),
            ENVIRONMENT_VARIABLE: str(folder / "recipe.json"),
            # patches made in the training's own process follow its seed
            "nnUNet_n_proc_DA": "0",
        }

    def is_run_with(self, recipe: Recipe) -> bool:
        """Whether a recipe says the same to this training's trainer as its own, and keeps its averages."""
        if not {*self.recipe.kept_averages} <= {*recipe.kept_averages}:
            return False
        there, own = (each.without(("kept_averages", *NOT_READ[self.trainer])) for each in (recipe, self.recipe))
        return there == own

    def run(self, workplace: Workplace, device: str) -> None:
        """Train and validate, or go on where a killed training was; nothing if it is done.

        A folder that a training with another recipe left is deleted.
        """
        recipe = self.folder(workplace) / "recipe.json"
        if recipe.is_file() and not self.is_run_with(Recipe.read(recipe)):
            shutil.rmtree(recipe.parent)
        if self.is_done(workplace):
            return
        recipe.parent.mkdir(parents=True, exist_ok=True)
        self.recipe.write(recipe)
        start = time.perf_counter()
        self._train(workplace, device, "--c")
        print(f"{self.name}: {time.perf_counter() - start:.0f} s", flush=True)

    def validate(self, workplace: Workplace, device: str) -> None:
        """Segment the held-out cases with the final checkpoint that is there."""
        self._train(workplace, device, "--val")

    def _train(self, workplace: Workplace, device: str, what: str) -> None:
        workplace.run(
            self.name,
            "nnUNetv2_train",
            *(self.dataset, CONFIGURATION, self.fold, "-tr", self.trainer, "-p", self.plans, "-device", device, what),
            environment=self.environment(workplace),
        )

    def configuration(self, workplace: Workplace) -> dict[str, Any]:
        """What the plans that it was trained with say of its patches, intensities, network and masks."""
        plans = read_json(self.fold_folder(workplace).parent / "plans.json", "start accuracy.py again")
        planned = plans["configurations"][CONFIGURATION]
        architecture = planned["architecture"]
        arguments = architecture["arch_kwargs"]
        return {
            **{key: planned[key] for key in ("patch_size", "batch_size", "spacing", "normalization_schemes")},
            "export": planned["resampling_fn_probabilities_kwargs"],
            "intensity_clipping": plans.get(HERMES_BLOCK, {}).get("intensity_clipping"),
            "network": architecture["network_class_name"],
            **{key: arguments[key] for key in SIZES_OF_NETWORK if key in arguments},
        }

    def losses(self, workplace: Workplace) -> list[float]:
        """Training loss of every epoch."""
        logging = read_checkpoint(self.fold_folder(workplace) / "checkpoint_final.pth")["logging"]
        return [round(float(loss), 4) for loss in logging["train_losses"]]

    def memory(self, workplace: Workplace) -> list[int]:
        """MB of the process at the end of every epoch."""
        return memory_of_epochs(self.fold_folder(workplace))

    def modality_accuracy(self, workplace: Workplace) -> float | None:
        """Share of the validation patches of the last epochs whose modality the network told; None without priors."""
        if self.arm != "hermes":
            return None
        curves = LearningCurves.read(self.fold_folder(workplace) / LEARNING_CURVES)
        told = [
            (own.patches, own.modality_accuracy)
            for epoch in curves.epochs[-EPOCHS // 2 :]
            for own in epoch.members.values()
            if own.modality_accuracy is not None
        ]
        return sum(patches * share for patches, share in told) / sum(patches for patches, _ in told)
