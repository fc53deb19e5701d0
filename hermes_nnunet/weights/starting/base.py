"""The model that a training starts from, and what it takes over of it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hermes_nnunet.collection import HERMES_BLOCK, Collection, member_and_own_case
from hermes_nnunet.core.checkpoint_names import FINAL
from hermes_nnunet.core.nnunet_files import read_plans
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.learning.training.member_dice import validated_cases
from hermes_nnunet.networks.taken_over import TakenOver, in_words, take_over
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import find_model_folder
from hermes_nnunet.weights.additions.base import ModelFold, read_fold
from hermes_nnunet.weights.additions.compose import plans_without_additions, spacing_by_configuration

START_VARIABLE = "HERMES_START_FROM"


@dataclass(frozen=True)
class Base:
    """A trained universal model, of one fold. What additions have brought into it is left out.

    Attributes:
        fold: the fold.
        training_cases: (data set, case's own name) of the labels that it was trained on; None where that is not known.
    """

    fold: ModelFold
    training_cases: frozenset[tuple[str, str]] | None

    @property
    def checkpoint(self) -> Path:
        """The file of its weights."""
        return self.fold.model.path / f"fold_{self.fold.fold}" / FINAL

    @property
    def hermes_plans(self) -> HermesPlans:
        return plans_without_additions(self.fold.plans)

    def start(self, network: nn.Module, hermes_plans: HermesPlans) -> TakenOver:
        """Give the network of other plans the weights, and the rows of the tasks and modalities that both know.

        Raises:
            HermesError: it is another network.
        """
        own = network.state_dict()
        taken = take_over(self.fold.base, self.hermes_plans, own, hermes_plans, str(self.checkpoint))
        network.load_state_dict(taken.weights)
        return taken

    def remarks(
        self,
        taken: TakenOver,
        plans: Mapping[str, Any],
        configuration: str,
        collection: Collection,
        held_out: Iterable[str],
    ) -> list[str]:
        """Lines for the log of a training that starts from this model.

        Args:
            taken: what it has taken over.
            plans: of the training.
            configuration: of it.
            collection: that is trained on.
            held_out: validation cases that have labels.
        """
        hermes_plans = HermesPlans.from_plans(plans)
        lines = [f"started from {self.checkpoint}; {in_words(taken, hermes_plans)}"]
        spacings = [spacing_by_configuration(own).get(configuration) for own in (self.fold.model.plans, plans)]
        if spacings[0] != spacings[1]:
            lines.append(f"its images had a spacing of {spacings[0]} mm, here they have {spacings[1]} mm")
        modality = hermes_plans.context.modality
        orders = [own.order_of_images(modality) for own in (self.hermes_plans, hermes_plans)]
        if orders[0] != orders[1]:
            lines.append(f"it saw images in the voxel order {orders[0]}, here the network sees them in {orders[1]}")
        for modality in taken.modalities:
            rules = [intensity_rule(modality, own.intensity_clipping) for own in (self.hermes_plans, hermes_plans)]
            if rules[0] != rules[1]:
                lines.append(f"its images of {modality} were normalised by {rules[0]}, here they are by {rules[1]}")
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
        folder = Path(model).parent.parent
        name = Path(model).parent.name.removeprefix("fold_")
        if Path(model).name != FINAL:
            raise HermesError(f"{model} is not of a training that reached its end: give a {FINAL}")
    else:
        folder = find_model_folder(model, plans=plans_name, configuration=configuration)
        name = _fold(folder, fold)
    if HERMES_BLOCK not in read_plans(folder / "plans.json", "copy the model's folder again"):
        raise HermesError(
            f"{folder} is a model of plain nnU-Net: start from it with 'hermes_nnunet start-weights' and "
            "-pretrained_weights"
        )
    read = read_fold(folder, name)
    return Base(read, _training_cases(read))


def _fold(folder: Path, fold: int | str) -> str:
    finished = sorted(file.parent.name.removeprefix("fold_") for file in folder.glob(f"fold_*/{FINAL}"))
    if not finished:
        raise HermesError(f"{folder} has no fold with a {FINAL}: train one to its end")
    if str(fold) not in finished and len(finished) > 1:
        raise HermesError(
            f"{folder} has the folds {listed(finished)}, and not {fold}: name the file to start from, "
            f"{folder / f'fold_{finished[0]}' / FINAL} or another"
        )
    return str(fold) if str(fold) in finished else finished[0]


def _training_cases(fold: ModelFold) -> frozenset[tuple[str, str]] | None:
    """All cases with labels of the model's collection but those that its final validation scored."""
    collection = fold.model.collection
    assert collection is not None, "read_fold takes no view"
    summary = fold.model.path / f"fold_{fold.fold}" / "validation" / "summary.json"
    held_out: set[str] = set()
    if fold.fold != "all":
        if not summary.is_file():
            return None
        held_out = set(validated_cases(summary))
    return frozenset(
        _own_name(case, collection) for case in collection.labelled(collection.cases) if case not in held_out
    )


def _own_name(case: str, collection: Collection) -> tuple[str, str]:
    return collection.members[collection.cases[case].member].dataset_name, member_and_own_case(case)[1]
