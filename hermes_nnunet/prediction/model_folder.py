"""The folder of a trained model: where it is, and what it says about itself without its weights."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from pydoc import locate
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, Collection, Member, Task
from hermes_nnunet.core.expected_dice import ExpectedDice
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.nnunet_files import read_dataset_json, read_plans
from hermes_nnunet.core.nnunet_folders import RESULTS, datasets_with_id, optional_folder
from hermes_nnunet.core.trusted_plans import check_plans, trusting_plans
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.views.write import CHECKPOINTS

TRAINER = "HermesTrainer"
PLANS = "HermesPlans"
CONFIGURATION = "3d_fullres"
CHECKPOINT = CHECKPOINTS[0]
PLANS_FILE = "plans.json"
DATASET_FILE = "dataset.json"
_FOLD = "fold_"


@dataclass(frozen=True)
class ModelFolder:
    """A universal model, or the view of one member.

    Attributes:
        path: holds plans.json, dataset.json and the folds.
        plans, dataset_json: content of these files.
        hermes_plans: the `hermes` block of the plans; in a view with that member only.
        collection: tasks with the collection's label values; None in a view, which has the member's values only.
        folds: the folds whose predictions are averaged, as in `fold_<fold>`.
        checkpoint: file name of the weights in each fold.
        trust_plans: a person lets the plans name classes beside those of Hermes and nnU-Net.
    """

    path: Path
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    hermes_plans: HermesPlans
    collection: Collection | None
    folds: tuple[str, ...]
    checkpoint: str
    trust_plans: bool = False

    @property
    def members(self) -> dict[str, Member]:
        return self.hermes_plans.members

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks that can be predicted, in the order of the task pool."""
        known = {task for member in self.members.values() for task in member.tasks}
        return tuple(task for task in self.hermes_plans.tasks if task in known)

    @property
    def file_ending(self) -> str:
        return self.dataset_json["file_ending"]

    @property
    def image_channels(self) -> int:
        """Channels of an image as the network takes it."""
        return len(self.dataset_json["channel_names"])

    def check_plans(self) -> None:
        """See to it before anything that the plans name is imported.

        Raises:
            HermesError: they name something else than planners of Hermes and nnU-Net write, and nobody trusts them.
        """
        with trusting_plans(self.trust_plans):
            check_plans(self.plans, str(self.path / PLANS_FILE))

    @property
    def merges_members(self) -> bool:
        """Whether a pass may have the tasks of several members: not where padded rows, made for one, take part.

        Raises:
            HermesError: the plans name a network that is not known.
        """
        self.check_plans()
        names = {
            configuration["architecture"]["network_class_name"]
            for configuration in self.plans["configurations"].values()
            if "architecture" in configuration
        }
        return not any(getattr(locate(name), "attends_to_null_rows", False) for name in names)

    @cached_property
    def expected_dice(self) -> dict[str, dict[str, ExpectedDice]]:
        """The Dice to expect by member and task; nothing of weights that were not validated.

        Raises:
            HermesError: what tells it is damaged.
        """
        # Not above: it imports torch, which takes seconds.
        from hermes_nnunet.prediction.held_out_dice import expected_dice

        return expected_dice(self) if self.checkpoint == CHECKPOINT else {}

    @property
    def checkpoints(self) -> list[Path]:
        """The weights, a file for each fold."""
        return [self.path / f"{_FOLD}{fold}" / self.checkpoint for fold in self.folds]

    def own_labels(self, member: str) -> tuple[Task, ...]:
        """The tasks of a member with the label values of its own data set."""
        entry = self.members[member]
        values = foreground_values(entry.labels).values()
        written = entry.regions_class_order or [value[0] for value in values]
        return tuple(Task(*parts) for parts in zip(entry.tasks, values, written, strict=True))


def find_model_folder(
    model: str | int | Path, trainer: str = TRAINER, plans: str = PLANS, configuration: str = CONFIGURATION
) -> Path:
    """The folder of a model that is given as this folder, or as a data set's id or name as in nnU-Net's commands.

    Raises:
        HermesError: there is no such model.
    """
    name = str(model)
    path = Path(name)
    if not name.isdigit() and path.is_dir():
        return _checked(path)
    results = optional_folder(RESULTS)
    if results is None:
        raise HermesError(f"{name} is not a folder, and {RESULTS} is not set: give a model's folder, or set it")
    datasets = datasets_with_id(results, int(name)) if name.isdigit() else [name]
    models = [folder for dataset in datasets for folder in _models_in(results / dataset)]
    wanted = f"{trainer}__{plans}__{configuration}"
    found = [folder for folder in models if folder.name == wanted]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        raise HermesError(f"data set {name} is not unique in {RESULTS} ({listed(datasets)}): give the folder's name")
    if models:
        raise HermesError(
            f"data set {name} has no model {wanted} in {RESULTS}={results}, but {listed(m.name for m in models)}: "
            "name it with -tr TRAINER -p PLANS -c CONFIGURATION"
        )
    raise HermesError(f"{name} is neither a folder nor a data set with a model in {RESULTS}={results}: train it first")


def read_model_folder(
    path: Path,
    folds: Iterable[str | int] | None = None,
    checkpoint: str = CHECKPOINT,
    *,
    trust_plans: bool = False,
) -> ModelFolder:
    """Read a model's folder.

    Args:
        folds: folds to average; None for every finished one.
        checkpoint: file name of the weights.
        trust_plans: the plans may name any class, whose code is run then.

    Raises:
        HermesError: it is a model of plain nnU-Net, or incomplete.
    """
    remedy = "copy the model's folder again"
    plans = read_plans(path / PLANS_FILE, remedy)
    dataset_json = read_dataset_json(path / DATASET_FILE, remedy)
    if HERMES_BLOCK not in plans:
        raise HermesError(f"{path} is a model of plain nnU-Net, not of Hermes: predict with nnUNetv2_predict")
    hermes_plans = HermesPlans.from_plans(plans)
    collection = None
    if HERMES_BLOCK in dataset_json:
        collection = Collection.from_dataset_json(dataset_json, str(path))
    else:
        hermes_plans = replace(hermes_plans, members=own_member(hermes_plans, plans, path))
    finished = _folds(path, folds, checkpoint)
    return ModelFolder(path, plans, dataset_json, hermes_plans, collection, finished, checkpoint, trust_plans)


def own_member(hermes_plans: HermesPlans, plans: dict[str, Any], path: Path) -> dict[str, Member]:
    """The member whose view this is, by its name.

    Raises:
        HermesError: it is the view of none.
    """
    own = {
        name: member for name, member in hermes_plans.members.items() if member.dataset_name == plans["dataset_name"]
    }
    if len(own) != 1:
        raise HermesError(
            f"{path / DATASET_FILE} is not that of a collection, and {plans['dataset_name']} is no member of the "
            "model: write the view again with 'hermes_nnunet views'"
        )
    return own


def _checked(path: Path) -> Path:
    if (path / PLANS_FILE).is_file():
        return path
    models = _models_in(path)
    if models:
        raise HermesError(f"{path} holds the models {listed(model.name for model in models)}: give one of these")
    raise HermesError(f"{path} is not a model's folder (it has no {PLANS_FILE}): give TRAINER__PLANS__CONFIGURATION")


def _models_in(folder: Path) -> list[Path]:
    return sorted(file.parent for file in folder.glob(f"*__*__*/{PLANS_FILE}"))


def _folds(path: Path, folds: Iterable[str | int] | None, checkpoint: str) -> tuple[str, ...]:
    finished = sorted(file.parent.name.removeprefix(_FOLD) for file in path.glob(f"{_FOLD}*/{checkpoint}"))
    if not finished:
        raise HermesError(f"{path} has no fold with a {checkpoint}: train one to its end, or name another with -chk")
    if folds is None:
        # As nnU-Net: the fold "all" has seen every case, and is not averaged with the others.
        return tuple(fold for fold in finished if fold != "all") or tuple(finished)
    wanted = tuple(str(fold) for fold in folds)
    for fold in wanted:
        if fold not in finished:
            raise HermesError(f"{path} has no fold {fold} with a {checkpoint}, but {listed(finished)}: choose with -f")
    return wanted
