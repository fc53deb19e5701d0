"""What is to be taught to which base, as the collection and plans of an addition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, UNKNOWN_MODALITY, Case, Collection, Member, Task
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import check_dataset_name, check_file_name, check_task_name
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.planning.labelled_intensities import planned_intensity_clipping
from hermes_nnunet.planning.modality.fitting import looks_of
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.weights.additions.base import ModelFold
from hermes_nnunet.weights.additions.compose import members_of_base
from hermes_nnunet.weights.additions.extending import check_spelling, plans_of_addition
from hermes_nnunet.weights.teaching.examples import Example


@dataclass(frozen=True)
class Lesson:
    """What is to be taught.

    Attributes:
        base: what the addition is for.
        plans: content of the plans file of a collection that has the new member alone.
        dataset_json: content of its dataset.json.
        values: value of each label in the masks, in the order of the tasks, whose own values are 1, 2, ...
    """

    base: ModelFold
    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    values: tuple[int, ...]

    @property
    def collection(self) -> Collection:
        return Collection.from_dataset_json(self.dataset_json, "the examples")

    @property
    def hermes_plans(self) -> HermesPlans:
        """Told the new member's context."""
        plans = HermesPlans.from_plans(self.plans)
        return plans.of_member(next(iter(plans.members)))

    @property
    def configuration(self) -> str:
        """The one that the base was trained with."""
        return self.base.checkpoint["init_args"]["configuration"]


def make_lesson(
    base: ModelFold,
    name: str,
    labels: Mapping[str, int],
    modality: str,
    examples: Sequence[Example],
    *,
    dataset_name: str,
    rank: int,
) -> Lesson:
    """The collection and plans of an addition that is taught.

    Args:
        name: of the new member, which is the addition's too.
        labels: name of each label -> its value in the masks; a single one may have the member's name.
        dataset_name: under which the addition's view will lie.
        rank: of its adapters.

    Raises:
        HermesError: the base knows the name or a task already, or a name cannot be used.
    """
    check_file_name(name, "--name")
    check_dataset_name(dataset_name, "data set")
    check_file_name(modality, "--modality")
    check_spelling(modality, base.plans.modalities, f"--modality {modality}")
    names = [name] if list(labels) == [name] else [f"{name}/{label}" for label in labels]
    tasks = tuple(Task(check_task_name(task), (value,), value) for value, task in enumerate(names, start=1))
    known = [task.name for task in tasks if task.name in base.plans.tasks]
    if known:
        raise HermesError(f"the base already has the task {listed(known)}: teach it under another name (--name)")
    if name in members_of_base(base.plans, base.model):
        raise HermesError(f"the base already has a member '{name}': teach under another name (--name)")
    file_ending, channel_names = base.model.file_ending, dict(base.model.dataset_json["channel_names"])
    member = Member(
        name=name,
        dataset_name=dataset_name,
        tasks=tuple(task.name for task in tasks),
        labels={"background": 0, **{label: value for value, label in enumerate(labels, start=1)}},
        regions_class_order=None,
        channels={modality: None},
        channel_names=channel_names,
        file_ending=file_ending,
        sampling_weight=1.0,
    )
    collection = Collection(
        tasks=tasks,
        modalities=tuple(dict.fromkeys((modality, UNKNOWN_MODALITY))),
        members={name: member},
        cases={example.name: Case(name, modality, example.name) for example in examples},
    )
    dataset_json = {
        "channel_names": channel_names,
        "labels": {"background": 0, **{task.name: task.written_value for task in tasks}},
        "numTraining": len(examples),
        "file_ending": file_ending,
        HERMES_BLOCK: collection.to_block(),
    }
    files = {
        example.name: {"images": [str(path) for path in example.images], "label": str(example.mask)}
        for example in examples
    }
    # One model has one rule for a modality, also where an addition has brought it.
    rules = dict(base.plans.intensity_clipping)
    if modality not in base.plans.modalities:
        rules |= _planned_rule(modality, labels, collection, files, dataset_json)
    # In this process: a script that teaches need not be written so that others can be started from it.
    looks = looks_of(collection, files, HermesImageIO, processes=1)
    plans = plans_of_addition(base, collection, dataset_name, rules, rank, looks)
    return Lesson(base, plans, dataset_json, tuple(labels.values()))


def _planned_rule(
    modality: str,
    labels: Mapping[str, int],
    collection: Collection,
    files: Mapping[str, Mapping[str, Any]],
    dataset_json: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """The intensity rule of a new modality, as the planner makes it."""
    of_masks = Collection(
        tasks=tuple(
            Task(task.name, (value,), value) for task, value in zip(collection.tasks, labels.values(), strict=True)
        ),
        modalities=collection.modalities,
        members=collection.members,
        cases=collection.cases,
    )
    rules = planned_intensity_clipping(of_masks, files, dataset_json)
    return {modality: rules[modality]} if modality in rules else {}
