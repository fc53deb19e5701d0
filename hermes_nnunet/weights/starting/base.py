"""The model that a training starts from, and what it takes over of it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hermes_nnunet.collection import HERMES_BLOCK, Collection, member_and_own_case
from hermes_nnunet.core.checkpoints import NAMES, read_checkpoint
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.member_dice import case_of_entry
from hermes_nnunet.networks.taken_over import TakenOver, in_words, take_over
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import find_model_folder

START_VARIABLE = "HERMES_START_FROM"
FINAL = NAMES[0]


@dataclass(frozen=True)
class Base:
    """A trained universal model, of one fold.

    Attributes:
        checkpoint: its file.
        weights: of its network.
        plans: content of its plans.
        hermes_plans: the `hermes` block of them.
        configuration: that was trained.
        training_cases: (data set, case's own name) of the images that it was trained on; None where that is not known.
    """

    checkpoint: Path
    weights: Mapping[str, torch.Tensor]
    plans: Mapping[str, Any]
    hermes_plans: HermesPlans
    configuration: str
    training_cases: frozenset[tuple[str, str]] | None

    def start(self, network: nn.Module, hermes_plans: HermesPlans) -> TakenOver:
        """Give the network of other plans the weights, and the rows of the tasks and modalities that both know.

        Raises:
            HermesError: it is another network.
        """
        own = network.state_dict()
        taken = take_over(self.weights, self.hermes_plans, own, hermes_plans, str(self.checkpoint))
        network.load_state_dict(taken.weights)
        return taken

    def remarks(
        self, taken: TakenOver, plans: Mapping[str, Any], collection: Collection, held_out: Iterable[str]
    ) -> list[str]:
        """Lines for the log of a training that starts from this model.

        Args:
            taken: what it has taken over.
            plans: of the training.
            collection: that is trained on.
            held_out: validation cases.
        """
        hermes_plans = HermesPlans.from_plans(plans)
        lines = [f"started from {self.checkpoint}; {in_words(taken, hermes_plans)}"]
        spacings = (self.plans["configurations"][self.configuration]["spacing"], _spacing(plans, self.configuration))
        if list(spacings[0]) != list(spacings[1]):
            lines.append(f"its images had a spacing of {spacings[0]} mm, here they have {spacings[1]} mm")
        for modality in taken.modalities:
            before, now = (
                intensity_rule(modality, own.intensity_clipping) for own in (self.hermes_plans, hermes_plans)
            )
            if before != now:
                lines.append(
                    f"its images of {modality} were normalised otherwise ({dict(before)}) than here ({dict(now)})"
                )
        seen = [case for case in held_out if _own_name(case, collection) in (self.training_cases or ())]
        if seen:
            lines.append(
                f"WARNING: {len(seen)} validation cases were training cases of {self.checkpoint}, so their Dice is too "
                f"good: {listed(seen)}"
            )
        return lines


def base_of_environment(fold: int | str, plans_name: str, configuration: str) -> Base | None:
    """The model that HERMES_START_FROM names, or None where it is not set.

    Raises:
        HermesError: see `read_base`.
    """
    model = os.environ.get(START_VARIABLE)
    if not model:
        return None
    try:
        return read_base(model, fold, plans_name, configuration)
    except HermesError as error:
        raise HermesError(f"{START_VARIABLE}={model}: {error}") from None


def read_base(
    model: str | Path, fold: int | str, plans_name: str = "HermesPlans", configuration: str = "3d_fullres"
) -> Base:
    """Read a model to start from.

    Args:
        model: a checkpoint's file, a model's folder, or id or name of its data set; then HermesTrainer's.
        fold: of its folds, unless a file is given or it has but one.
        plans_name: of the model of a data set.
        configuration: of the model of a data set.

    Raises:
        HermesError: there is no such model, its training did not reach its end, or it is no universal model.
    """
    if Path(model).is_file():
        checkpoint = Path(model)
        folder = checkpoint.parent.parent
    else:
        folder = find_model_folder(model, plans=plans_name, configuration=configuration)
        checkpoint = _checkpoint(folder, fold)
    content = read_checkpoint(checkpoint)
    arguments = content.get("init_args", {})
    plans = read_json(folder / "plans.json", "copy the model's folder again")
    if HERMES_BLOCK not in plans:
        raise HermesError(
            f"{folder} is a model of plain nnU-Net: start from it with 'hermes_nnunet start-weights' and "
            "-pretrained_weights"
        )
    if "network_weights" not in content or "configuration" not in arguments:
        raise HermesError(f"{checkpoint} is no checkpoint of a training: give a checkpoint_final.pth")
    return Base(
        checkpoint,
        content["network_weights"],
        plans,
        HermesPlans.from_plans(plans),
        arguments["configuration"],
        _training_cases(folder, checkpoint.parent),
    )


def _checkpoint(folder: Path, fold: int | str) -> Path:
    finished = sorted(file.parent.name for file in folder.glob(f"fold_*/{FINAL}"))
    if not finished:
        raise HermesError(f"{folder} has no fold with a {FINAL}: train one to its end")
    own = f"fold_{fold}"
    if own not in finished and len(finished) > 1:
        raise HermesError(
            f"{folder} has {listed(finished)}, and not {own}: name the file to start from, "
            f"{folder / finished[0] / FINAL} or another"
        )
    return folder / (own if own in finished else finished[0]) / FINAL


def _training_cases(folder: Path, fold: Path) -> frozenset[tuple[str, str]] | None:
    """All cases of the model's collection but those that its final validation scored."""
    if not (folder / "dataset.json").is_file():
        return None
    dataset_json = read_json(folder / "dataset.json", "copy the model's folder again")
    if HERMES_BLOCK not in dataset_json:
        return None  # a view
    collection = Collection.from_dataset_json(dataset_json, str(folder))
    summary = fold / "validation" / "summary.json"
    if fold.name == "fold_all":
        held_out = set()
    elif summary.is_file():
        held_out = {case_of_entry(entry) for entry in read_json(summary, "validate again")["metric_per_case"]}
    else:
        return None
    return frozenset(_own_name(case, collection) for case in collection.cases if case not in held_out)


def _own_name(case: str, collection: Collection) -> tuple[str, str]:
    return collection.members[collection.cases[case].member].dataset_name, member_and_own_case(case)[1]


def _spacing(plans: Mapping[str, Any], configuration: str) -> Any:
    return plans["configurations"].get(configuration, {}).get("spacing", "another")
