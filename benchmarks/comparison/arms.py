"""Which trainings the comparison consists of."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comparison.data import MEMBERS, Workplace
from comparison.recipe import EPOCHS, OF_HERMES, OF_HERMES_UNET, Recipe
from comparison.running import Conditions, Training
from comparison.splits import Reduction, fold_of

# One change at a time against HermesTrainer as it is; of the loss all that makes it the paper's.
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "nnU-Net's SGD": {"optimizer": "sgd", "learning_rate": 1e-2, "weight_decay": 3e-5},
    "nnU-Net's SGD, one learning rate": {
        "optimizer": "sgd",
        "learning_rate": 1e-2,
        "weight_decay": 3e-5,
        "token_layers_share": 1.0,
    },
    "LAMB": {"optimizer": "lamb", "learning_rate": 1e-2, "token_layers_share": 1.0},
    "LAMB, a tenth for the token layers": {"optimizer": "lamb", "learning_rate": 1e-2},
    "one learning rate": {"token_layers_share": 1.0},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "learning rate 4e-3": {"learning_rate": 4e-3},
    "learning rate 3e-4": {"learning_rate": 3e-4},
    "weight decay 0.05": {"weight_decay": 5e-2},
    "bfloat16": {"precision": "bfloat16"},
    "averaged weights": {"averaged_weights": True},
    "averaged weights, decay 0.999": {"averaged_weights": True, "average_decay": 0.999},
    "members drawn alike": {"sampling": "members"},
    "cases drawn alike": {"sampling": "cases"},
    "every patch shows a task": {"foreground_oversampling": 1.0},
    "a third of the patches show a task": {"probabilistic_oversampling": True},
    "patches lie anywhere": {"foreground_oversampling": 0.0},
    "supervision of full resolution only": {"supervision": "full resolution"},
    "gradients clipped at 1": {"gradient_clipping": 1.0},
    "cross-entropy weighs 1": {"cross_entropy_weight": 1.0},
    "cross-entropy weighs 0.3": {"cross_entropy_weight": 0.3},
    "adaptive Dice": {"adaptive_dice": True},
    "loss of the paper": {
        "adaptive_dice": True,
        "first_dice_exponent": 1.0,
        "cross_entropy_weight": 1.0,
        "absent_weight": 0.0,
    },
    "plain Dice from the start": {"first_dice_exponent": 1.0},
    "logarithm of Dice fades over 1000 batches": {"dice_fade_batches": 1000},
    "logarithm of Dice fades to the end": {"dice_fade_batches": 0},
    "logarithm of Dice to the end": {"last_dice_exponent": 0.0},
    "logarithm of Dice to the end, no absent tasks": {"last_dice_exponent": 0.0, "absent_weight": 0.0},
    "no Dice loss of absent tasks": {"absent_weight": 0.0},
    "Dice loss of absent tasks weighs 0.05": {"absent_weight": 0.05},
    "nnU-Net's norms": {"modality_norms": False},
    "nnU-Net's norms, adaptive Dice": {"modality_norms": False, "adaptive_dice": True},
    "warm-up of 2 epochs": {"warm_up_epochs": 2},
    "widths x 1.5": {"width_factor": 1.5},
    "fusion at the bottleneck only": {"network": "comparison.networks.FusedAtBottleneckUNet"},
    "fusion from stride 2 on": {"network": "comparison.networks.FusedFromStride2UNet"},
    "no norm in the heads": {"network": "comparison.networks.HeadsWithoutNormUNet"},
    "first logits of the tasks' frequencies": {"first_logits": "frequency"},
    "CTs keep their values in augmentation": {"ct_augmentation": "keeps values"},
}


def arm(name: str, *, batches: int, fold: int = 0, seed: int = 0) -> list[Training]:
    """The trainings of an arm: one a member for 'singles', else one on the collection with as many patches in all.

    Args:
        batches: of each single model; a model of the collection gets as many for each member.
    """
    if name == "singles":
        return [
            Training(f"single_{member}_{batches}_f{fold}_s{seed}", "single", recipe_of(batches, seed), fold, member)
            for member in MEMBERS
        ]
    recipe = recipe_of(len(MEMBERS) * batches, seed)
    return [Training(f"{name}_{batches}_f{fold}_s{seed}", name, recipe, fold)]


def ablation(name: str, *, of_arm: str = "hermes", batches: int, fold: int = 0, seed: int = 0) -> list[Training]:
    """An arm with one change of its recipe."""
    return [
        replace(
            training,
            name=f"{training.name}_{name.replace(' ', '_')}",
            recipe=replace(training.recipe, **ABLATIONS[name]),
        )
        for training in arm(of_arm, batches=batches, fold=fold, seed=seed)
    ]


def can_be_ablated(name: str, of_arm: str) -> bool:
    """Whether an ablation is about something that the arm has."""
    lacking = {"hermes": set(), "masked": OF_HERMES_UNET}.get(of_arm, OF_HERMES_UNET | set(OF_HERMES))
    return not ABLATIONS[name].keys() <= lacking


def left_out(reductions: list[Reduction], reduction: Reduction, conditions: Conditions) -> Training:
    """Hermes trained with less of one member, with the patches of the members that are left."""
    batches, seed = conditions.batches, conditions.seed
    members = len(MEMBERS) - (reduction.cases == 0)
    name = f"hermes_{batches}_{reduction.member}_{reduction.cases}_cases_s{seed}"
    return Training(name, "hermes", recipe_of(members * batches, seed), fold_of(reduction, reductions))


def single_with_few(
    reductions: list[Reduction], reduction: Reduction, workplace: Workplace, conditions: Conditions
) -> Training:
    """The single model of a member with fewer training cases."""
    batches, seed = conditions.batches, conditions.seed
    number = workplace.number_of(reduction.member)
    name = f"single_{number}_{batches}_{reduction.cases}_cases_s{seed}"
    return Training(name, "single", recipe_of(batches, seed), fold_of(reduction, reductions), number)


def recipe_of(batches: int, seed: int) -> Recipe:
    return Recipe(batches=max(1, batches // EPOCHS) * EPOCHS, seed=seed)
