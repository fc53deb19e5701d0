"""A model that knows its base and any number of additions, made of these; every old context computes the same bits."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from hermes_nnunet.additions import modality_rows
from hermes_nnunet.collection import HERMES_BLOCK, UNKNOWN_MODALITY, Collection, Context, Task
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.networks.pool_rows import Rows, adapter_of, as_adapter_of, rows_of
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import ModelFolder
from hermes_nnunet.voxel_orders import OUR_ORDER
from hermes_nnunet.weights.additions.file import Addition, AdditionHeader

LARGEST_VALUE = 65535  # what a segmentation of nnU-Net can store
RANKS = "adapter_ranks"
_IGNORE = "ignore"


def plans_without_additions(plans: HermesPlans) -> HermesPlans:
    """Plans of the base of a model."""
    if not plans.additions:
        return plans
    added = {addition.member for addition in plans.additions}
    tasks = {task for addition in plans.additions for task in addition.tasks}
    brought = {modality for addition in plans.additions for modality in addition.new_modalities}
    return _told_all(
        replace(
            plans,
            tasks=tuple(task for task in plans.tasks if task not in tasks),
            modalities=tuple(name for name in plans.modalities if name not in brought),
            members={name: member for name, member in plans.members.items() if name not in added},
            intensity_clipping={name: rule for name, rule in plans.intensity_clipping.items() if name not in brought},
            voxel_orders={name: order for name, order in plans.voxel_orders.items() if name not in added},
            additions=(),
        )
    )


def plans_with_additions(base: HermesPlans, headers: Sequence[AdditionHeader]) -> HermesPlans:
    """Plans of a model of a base and additions.

    Args:
        base: plans without additions.
        headers: of the additions, which must go together: see `check_together`.
    """
    if not headers:
        return base
    words = [name for name in base.modalities if name != UNKNOWN_MODALITY]
    words += [name for header in headers for name in header.new_modalities]
    return _told_all(
        replace(
            base,
            tasks=(*base.tasks, *(task.name for header in headers for task in header.tasks)),
            modalities=(*dict.fromkeys(words), UNKNOWN_MODALITY),
            members={**base.members, **{header.name: header.member for header in headers}},
            intensity_clipping={
                **base.intensity_clipping,
                **{name: header.intensity_clipping[name] for header in headers for name in header.new_modalities},
            },
            voxel_orders={**base.voxel_orders, **_orders_of(headers)},
            additions=tuple(header.added for header in headers),
        )
    )


def _orders_of(headers: Sequence[AdditionHeader]) -> dict[str, str]:
    """Voxel orders other than RAS, by member."""
    return {header.name: header.voxel_order for header in headers if header.voxel_order != OUR_ORDER}


def _told_all(plans: HermesPlans) -> HermesPlans:
    """The same model, told all its tasks, with the modality that all members have, or else "unknown"."""
    used = {modality for member in plans.members.values() for modality in member.modalities}
    modality = used.pop() if len(used) == 1 else UNKNOWN_MODALITY
    return replace(plans, context=Context(plans.tasks, modality))


def plans_file(model: ModelFolder, plans: HermesPlans, dataset_name: str) -> dict[str, Any]:
    """Content of plans.json of a model of the same base with other additions.

    Args:
        model: gives nnU-Net's part of the plans.
        plans: the `hermes` block.
        dataset_name: of the new model.
    """
    content = copy.deepcopy({**model.plans, "dataset_name": dataset_name, HERMES_BLOCK: plans.to_block()})
    set_pool_sizes(content, plans)
    return content


def ordinary_plans(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the plans of a collection that extends a base, for a network without adapters."""
    plans = replace(HermesPlans.from_plans(content), additions=())
    ordinary = copy.deepcopy({**content, HERMES_BLOCK: plans.to_block()})
    set_pool_sizes(ordinary, plans)
    return ordinary


def set_pool_sizes(content: dict[str, Any], plans: HermesPlans) -> list[dict[str, Any]]:
    """Give the networks of a plans file the sizes that the modalities and additions of its plans need.

    Returns:
        The arguments of the network of each configuration that has one.
    """
    configurations = content["configurations"].values()
    networks = [own["architecture"]["arch_kwargs"] for own in configurations if "architecture" in own]
    for arguments in networks:
        arguments["num_modalities"] = len(modality_rows(plans.modalities, plans.additions))
        arguments.pop(RANKS, None)
        if plans.additions:
            arguments[RANKS] = [addition.rank for addition in plans.additions]
    return networks


def collection_without_additions(collection: Collection, plans: HermesPlans) -> Collection:
    """What the base of a model says of its members and tasks."""
    tasks = {task for addition in plans.additions for task in addition.tasks}
    added = {addition.member for addition in plans.additions}
    return replace(
        collection,
        tasks=tuple(task for task in collection.tasks if task.name not in tasks),
        modalities=plans_without_additions(plans).modalities,
        # Plans do not have members without labels, of which there may be cases.
        members={name: member for name, member in collection.members.items() if name not in added},
        excludes={task: others for task, others in collection.excludes.items() if task not in tasks},
    )


def collection_with_additions(base: Collection, plans: HermesPlans, headers: Sequence[AdditionHeader]) -> Collection:
    """What a model says of its members and tasks: label values of additions follow those of the base."""
    tasks = list(base.tasks)
    for header in headers:
        shift = max(value for task in tasks for value in (*task.values, task.written_value))
        tasks += [
            Task(task.name, tuple(value + shift for value in task.values), task.written_value + shift)
            for task in header.tasks
        ]
    excludes = {**base.excludes, **{task: others for header in headers for task, others in header.excludes.items()}}
    members = {**base.members, **{header.name: header.member for header in headers}}
    return replace(base, tasks=tuple(tasks), modalities=plans.modalities, members=members, excludes=excludes)


def members_of_base(base: HermesPlans, model: ModelFolder) -> list[str]:
    """Names of all members of a base; its plans lack those without labels."""
    collection = model.collection
    unlabelled = [] if collection is None else [name for name, own in collection.members.items() if not own.tasks]
    return [*base.members, *unlabelled]


def dataset_file(model: ModelFolder, collection: Collection, dataset_name: str) -> dict[str, Any]:
    """Content of dataset.json of a model of the same base with other additions.

    Raises:
        HermesError: there are more label values than a segmentation can store.
    """
    content = {**model.dataset_json, "name": dataset_name, HERMES_BLOCK: collection.to_block()}
    labels: dict[str, Any] = {"background": 0}
    labels |= {task.name: list(task.values) if len(task.values) > 1 else task.values[0] for task in collection.tasks}
    largest = max(value for task in collection.tasks for value in (*task.values, task.written_value))
    if _IGNORE in model.dataset_json["labels"]:
        largest += 1
        labels[_IGNORE] = largest  # nnU-Net wants it above all others
    if largest > LARGEST_VALUE:
        raise HermesError(f"base and additions have {largest} label values together, nnU-Net can store {LARGEST_VALUE}")
    content["labels"] = labels
    content.pop("regions_class_order", None)
    if any(len(task.values) > 1 for task in collection.tasks):
        content["regions_class_order"] = [task.written_value for task in collection.tasks]
    return content


def check_together(base: HermesPlans, model: ModelFolder, headers: Sequence[AdditionHeader]) -> None:
    """See that additions fit a base, and that none has what the base or another one has.

    Raises:
        HermesError: they do not.
    """
    tasks = dict.fromkeys(base.tasks, "the base")
    members = dict.fromkeys(members_of_base(base, model), "the base")
    datasets = {member.dataset_name: "a member of the base" for member in base.members.values()}
    rules: dict[str, tuple[str, Mapping[str, Any]]] = {}
    spacings = spacing_by_configuration(model.plans)
    for header in headers:
        if header.base.spacing != spacings:
            raise HermesError(
                f"addition {header.name} was trained with the spacing {header.base.spacing}, the plans of {model.path} "
                f"say {spacings}: use the plans that the base was trained with"
            )
        if header.name in members:
            raise HermesError(
                f"{members[header.name]} already has a member '{header.name}': take that out first (--without), or "
                f"train the addition of a member of another name"
            )
        members[header.name] = f"addition {header.name}"
        own = header.member.dataset_name
        if own in datasets:
            raise HermesError(f"addition {header.name} is of {own}, as is {datasets[own]}: take that out (--without)")
        datasets[own] = f"addition {header.name}"
        for task in header.tasks:
            if task.name in tasks:
                raise HermesError(
                    f"addition {header.name} has the task '{task.name}', which {tasks[task.name]} has too: rename it "
                    f"under labels: in the YAML file of --members, and train the addition again"
                )
            tasks[task.name] = f"addition {header.name}"
        for modality, rule in header.intensity_clipping.items():
            known = rules.get(modality)
            if modality in base.modalities:
                known = "the base", intensity_rule(modality, base.intensity_clipping)
            elif modality not in header.new_modalities:
                raise HermesError(
                    f"addition {header.name} takes the modality {modality} from its base, which does not know it: get "
                    "the file again"
                )
            if known is not None and known[1] != rule:
                raise HermesError(
                    f"addition {header.name} was trained on {modality} with the intensity rule {rule}, {known[0]} has "
                    f"{known[1]}: one model has one rule for a modality"
                )
            rules.setdefault(modality, (f"addition {header.name}", rule))
        if set(header.new_modalities) & set(base.modalities):
            raise HermesError(f"addition {header.name} brings a modality that the base has: get the file again")


def spacing_by_configuration(plans: Mapping[str, Any]) -> dict[str, list[float]]:
    """Spacing of each configuration of a plans file, in mm."""
    return {
        name: [float(length) for length in configuration["spacing"]]
        for name, configuration in plans["configurations"].items()
        if "spacing" in configuration
    }


def composed_weights(
    network: nn.Module, base: Mapping[str, torch.Tensor], additions: Sequence[Addition]
) -> dict[str, torch.Tensor]:
    """Weights of the network of a base and additions, by name.

    Args:
        network: of the composed plans; may lie on the meta device, only names and shapes are read.
        base: see ModelFold.
        additions: in the order of the plans.

    Raises:
        HermesError: an addition lacks a tensor, has one too many, or one of another shape.
    """
    for number, addition in enumerate(additions):
        _check_tensors(network, addition, number)
    weights: dict[str, torch.Tensor] = {}
    first_names: dict[int, str] = {}  # of layers that are registered twice
    for name, parameter in network.named_parameters(remove_duplicate=False):
        first = first_names.setdefault(id(parameter), name)
        weights[name] = weights[first] if first in weights else _composed(name, base, additions)
        if weights[name].shape != parameter.shape:
            raise HermesError(
                f"weight {name} of the base is {tuple(weights[name].shape)}, its plans say {tuple(parameter.shape)}: "
                "copy the model's folder again"
            )
    return weights


def _composed(name: str, base: Mapping[str, torch.Tensor], additions: Sequence[Addition]) -> torch.Tensor:
    number = adapter_of(name)
    if number is not None:
        return additions[number].tensors[as_adapter_of(name, 0)]
    if name not in base:
        raise HermesError(f"the base has no weight {name}, which its plans need: copy the model's folder again")
    if rows_of(name) is None:
        return base[name]
    added = [addition.tensors[name].to(base[name].dtype) for addition in additions if name in addition.tensors]
    return torch.cat((base[name][:-1], *added, base[name][-1:])) if added else base[name]


def _check_tensors(network: nn.Module, addition: Addition, number: int) -> None:
    """See that an addition has what its network needs."""
    header = addition.header
    rows = {Rows.TASKS: len(header.tasks), Rows.MODALITIES: len(header.new_modalities)}
    needed: dict[str, tuple[int, ...]] = {}
    for name, parameter in network.named_parameters():
        kind = rows_of(name)
        if adapter_of(name) == number:
            needed[as_adapter_of(name, 0)] = tuple(parameter.shape)
        elif kind is not None and rows[kind]:
            needed[name] = (rows[kind], *parameter.shape[1:])
    for name in {**needed, **addition.tensors}:
        shape = tuple(addition.tensors[name].shape) if name in addition.tensors else None
        if shape != needed.get(name):
            there = "lacks" if shape is None else f"has {shape} for"
            wanted = "which its base has no place for" if name not in needed else f"which must be {needed[name]}"
            raise HermesError(f"addition {header.name} {there} {quoted(name)}, {wanted}: get the file again")
