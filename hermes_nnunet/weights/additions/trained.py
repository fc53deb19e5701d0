"""What a training of an addition leaves: the addition's file, and the universal model that has old and new tasks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hermes_nnunet.collection import Collection
from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.dice import defined_by_task
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.held_out_dice import held_out_dice
from hermes_nnunet.prediction.views.write import CHECKPOINTS, write_views
from hermes_nnunet.schema import shown
from hermes_nnunet.voxel_orders import OUR_ORDER
from hermes_nnunet.weights.additions.base import ModelFold, read_fold, rows_of_addition
from hermes_nnunet.weights.additions.compose import plans_without_additions, spacing_by_configuration
from hermes_nnunet.weights.additions.file import (
    FILE_ENDING,
    Addition,
    AdditionBase,
    AdditionHeader,
    notices_of_looks,
)
from hermes_nnunet.weights.additions.model_folder import compose_model, write_composed
from hermes_nnunet.weights.additions.starting import check_unchanged

# What plans, and their configurations, say of how an image becomes what the network sees.
_OF_IMAGES = ("transpose_forward", "transpose_backward")
_OF_PREPROCESSING = (
    "spacing",
    "preprocessor_name",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
)
EXTEND_REMEDY = "make the collection with 'hermes_nnunet extend'"


def base_of_plans(plans: HermesPlans, where: str) -> ModelFold:
    """The base that a collection's addition is for.

    Args:
        plans: the collection's.
        where: names them in messages.

    Raises:
        HermesError: the plans name none, or it is not there, or has other weights now.
    """
    reference = plans.base
    if reference is None or len(plans.additions) != 1:
        raise HermesError(f"{where} name no base that an addition could be trained for: {EXTEND_REMEDY}")
    folder = Path(reference.model)
    if not folder.is_dir():
        raise HermesError(f"{where}: the base {folder} is not there: move it back, or {EXTEND_REMEDY} again")
    base = read_fold(folder, reference.fold)
    if base.base_hash != reference.weights:
        raise HermesError(
            f"{where}: the weights of the base {base.where} are {base.base_hash[:12]} now, the collection was made for "
            f"{reference.weights[:12]}: {EXTEND_REMEDY} again"
        )
    return base


def check_planned_as_base(plans: Mapping[str, Any], base: ModelFold, configuration: str, where: str) -> None:
    """See that images come to an addition as they come to its base: it acts in models with the base's plans.

    Args:
        plans: content of the collection's plans file.
        configuration: that is trained.
        where: names the plans in messages.

    Raises:
        HermesError: they do not.
    """
    own, of_base = (
        {**{key: content.get(key) for key in _OF_IMAGES}, **content["configurations"].get(configuration, {})}
        for content in (plans, base.model.plans)
    )
    hermes_plans = HermesPlans.from_plans(plans)
    different = [(key, own.get(key), of_base.get(key)) for key in (*_OF_IMAGES, *_OF_PREPROCESSING)]
    for modality in hermes_plans.modalities:
        if modality in base.plans.modalities:
            rule, wanted_rule = (
                intensity_rule(modality, known.intensity_clipping) for known in (hermes_plans, base.plans)
            )
            different.append((f"intensity_clipping of {modality}", rule, wanted_rule))
    for key, mine, wanted in different:
        if mine != wanted:
            raise HermesError(
                f"{where}: {key} is {shown(mine)}, the base {base.where} has {shown(wanted)}, and one model has one: "
                f"{EXTEND_REMEDY} again, and preprocess again"
            )


def header_of_collection(
    plans: Mapping[str, Any],
    collection: Collection,
    base: ModelFold,
    *,
    trained_on: Mapping[str, Any],
) -> AdditionHeader:
    """The header of a collection's addition, without its Dice.

    Args:
        plans: content of the collection's plans file.
        base: what it is for.
        trained_on: see AdditionHeader.
    """
    hermes_plans = HermesPlans.from_plans(plans)
    (added,) = hermes_plans.additions
    member = collection.members[added.member]
    return AdditionHeader(
        member=member,
        tasks=collection.tasks,
        new_modalities=added.new_modalities,
        intensity_clipping={
            name: dict(intensity_rule(name, hermes_plans.intensity_clipping)) for name in member.modalities
        },
        rank=added.rank,
        base=AdditionBase(
            weights=base.base_hash,
            dataset_name=base.model.path.parent.name,
            model=base.model.path.name,
            fold=base.fold,
            spacing=spacing_by_configuration(base.model.plans),
            network={
                name: base_architecture(configuration["architecture"])
                for name, configuration in base.model.plans["configurations"].items()
                if "architecture" in configuration
            },
        ),
        looks=added.looks,
        voxel_order=hermes_plans.voxel_orders.get(added.member, OUR_ORDER),
        excludes=dict(collection.excludes),
        trained_on=dict(trained_on),
    )


def base_architecture(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Class and arguments of a network, as a header keeps them."""
    return {"class": architecture["network_class_name"], "arguments": dict(architecture["arch_kwargs"])}


def finish_training(
    output: Path,
    plans: Mapping[str, Any],
    collection: Collection,
    base: ModelFold,
    *,
    results: Path,
    trained_on: Mapping[str, Any],
) -> list[str]:
    """Write the addition of a fold that was trained to its end, the universal model with it, and the views of that.

    Args:
        output: folder of the fold.
        plans: content of the collection's plans file.
        results: nnUNet_results.
        trained_on: see AdditionHeader.

    Returns:
        A line for each thing that was written, or was not.
    """
    weights = read_checkpoint(output / CHECKPOINTS[0])["network_weights"]
    hermes_plans = HermesPlans.from_plans(plans)
    check_unchanged(weights, hermes_plans, base.base, plans_without_additions(base.plans))
    header = header_of_collection(plans, collection, base, trained_on=trained_on)
    addition = Addition(header, rows_of_addition(weights, hermes_plans, 0))
    addition = addition.with_dice(defined_by_task(held_out_dice(output, collection).get(header.name, {})))
    path = output / f"{header.name}{FILE_ENDING}"
    addition.save(path)
    messages = [
        f"addition {header.name}: {path} ({path.stat().st_size / 1e6:.1f} MB)",
        *notices_of_looks([header.added]),
    ]
    fold = output.name.removeprefix("fold_")
    folder = results / plans["dataset_name"] / base.model.path.name
    try:
        write_composed(folder, compose_model({fold: (base, [*base.additions, addition])}, plans["dataset_name"]))
    except HermesError as error:
        # The addition is whole; only its place in a model is taken.
        return [*messages, f"no universal model with old and new tasks: {error}"]
    messages.append(f"universal model with old and new tasks: {folder}")
    views = write_views(folder, results, [fold])
    others = [line for line in views if "left alone" in line and not line.startswith(f"{header.name}: ")]
    messages += [line for line in views if line not in others]
    if others:
        messages.append(f"{len(others)} views of old members stay another model's: the base gives the same masks")
    return messages
