"""What one training of the comparison is run with; the trainers read it from a file that the environment names."""

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from hermes_nnunet.core.files import read_json, write_json

FORMAT_VERSION = 1
ENVIRONMENT_VARIABLE = "HERMES_COMPARISON_RECIPE"
EPOCHS = 20
OF_HERMES = (
    "cross_entropy_weight",
    "adaptive_dice",
    "first_dice_exponent",
    "last_dice_exponent",
    "dice_fade_batches",
    "absent_weight",
    "extra_tasks",
    "exclusion_weight",
    "modality_norms",
    "network",
    "first_logits",
    "ct_augmentation",
    "unknown_modality_share",
)

# What a training that extends a base reads: its trainer is HermesTrainerTransfer or HermesTrainerAddition.
OF_TRANSFER = ("base_share", "first_layer_share")
OF_ADDITION = ("addition_rate",)

# What only HermesUNet has: to change nothing else would leave the masked merge as it is, or make another arm of it.
OF_HERMES_UNET = {"network", "first_logits", "modality_norms", "token_layers_share"}


@dataclass(frozen=True)
class Recipe:
    """Settings of one training, the same for all arms unless an ablation changes one.

    Attributes:
        batches: length of the training; after each twentieth of it, an epoch, the learning rate falls.
        seed: of Python, NumPy and torch.
        optimizer: 'adamw', 'sgd' (nnU-Net's: Nesterov, momentum 0.99) or 'lamb'.
        learning_rate: at the start; polynomial decay to 0.
        token_layers_share: what the layers of attention, MLPs and heads have of the learning rate.
        weight_decay: of the optimizer.
        warm_up_epochs: epochs over which the learning rate rises (the paper's way), 0 for none.
        foreground_oversampling: share of a batch's patches that must show a task; nnU-Net rounds, so of two patches it
            is one between 0.25 and 0.75.
        probabilistic_oversampling: whether each patch must show a task with that probability instead.
        gradient_clipping: largest norm of the gradient; nnU-Net clips at 12 in any case.
        averaged_weights: whether the final validation uses the moving average of the weights.
        average_decay: what a step keeps of that average, once there are enough.
        kept_averages: decays of averages that are kept beside the weights, without an effect on the training; see
            `comparison.averages`.
        precision: of the training steps, 'float32' or 'bfloat16' (automatic mixed precision).
        sampling: how often a member's cases are drawn: 'collection' (the merge's weights, square root of the number of
            cases), 'members' (all members alike), 'cases' (all cases alike).
        cross_entropy_weight, adaptive_dice, absent_weight: see HermesLoss; plain nnU-Net does not read them.
        extra_tasks, exclusion_weight: HermesTrainer's; plain nnU-Net does not read them.
        first_dice_exponent, last_dice_exponent: HermesTrainer's; plain nnU-Net does not read them.
        width_factor: what the channels of every stage of the network are multiplied by.
        dice_fade_batches: batches after which the exponent is the last; 0 for the end of the training, None for
            HermesTrainer's rule.
        modality_norms: whether the norms of HermesUNet know the modality; the other arms' networks do not read it.
        network: class of the network where it is not that of the plans; plain nnU-Net does not read it.
        first_logits: of HermesUNet's tasks: 'alike' (its own) or 'frequency' (a task's share of the training images).
        ct_augmentation: 'alike' (as other modalities) or 'keeps values' (no changes of brightness, contrast, gamma);
            plain nnU-Net does not read it.
        unknown_modality_share: HermesTrainer's; plain nnU-Net does not read it.
        base_share, first_layer_share: HermesTrainerTransfer's; the others do not read them.
        addition_rate: HermesTrainerAddition's, in the place of `learning_rate`.
        supervision: weights of the outputs: 'halved' (nnU-Net's) or 'full resolution' (the highest only).
    """

    batches: int
    seed: int = 0
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    token_layers_share: float = 0.1
    weight_decay: float = 1e-2
    warm_up_epochs: int = 0
    foreground_oversampling: float = 0.33
    probabilistic_oversampling: bool = False
    gradient_clipping: float = 12.0
    averaged_weights: bool = False
    average_decay: float = 0.99
    kept_averages: tuple[float, ...] = ()
    precision: str = "float32"
    sampling: str = "collection"
    supervision: str = "halved"
    cross_entropy_weight: float = 3.0
    adaptive_dice: bool = False
    first_dice_exponent: float = 0.0
    last_dice_exponent: float = 1.0
    dice_fade_batches: int | None = None
    absent_weight: float = 0.2
    extra_tasks: int = 2
    exclusion_weight: float = 1.0
    width_factor: float = 1.0
    modality_norms: bool = True
    network: str | None = None
    first_logits: str = "alike"
    ct_augmentation: str = "alike"
    unknown_modality_share: float = 0.0
    base_share: float = 1.0
    first_layer_share: float = 1.0
    addition_rate: float = 8e-3

    @classmethod
    def of_environment(cls) -> "Recipe":
        """The recipe of the training that runs in this process."""
        return cls.read(Path(os.environ[ENVIRONMENT_VARIABLE]))

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        # A recipe that does not name them is of a training before there were any.
        read = {"extra_tasks": 0, "kept_averages": (), **read_json(path, "start accuracy.py again")["recipe"]}
        return cls(**{**read, "kept_averages": tuple(read["kept_averages"])})

    def without(self, names: Collection[str]) -> "Recipe":
        """The same with some settings as by default, which a trainer does not read."""
        return replace(self, **{field.name: field.default for field in fields(self) if field.name in names})

    def write(self, path: Path) -> None:
        write_json({"format_version": FORMAT_VERSION, "recipe": asdict(self)}, path)
