"""The network of a model folder or a training, ready to run with its context."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from hermes_nnunet.collection import Context
from hermes_nnunet.core.shortages import is_of_memory, is_of_the_gpu
from hermes_nnunet.core.trusted_plans import are_trusted, check_configuration, check_plans
from hermes_nnunet.core.wording import left_out_line
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.networks.context_batch import ContextBatch, ContextIndexer
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.told_by_image import ToldByImage
from hermes_nnunet.overrides import ALL_MODALITIES_VARIABLE, all_modalities_override
from hermes_nnunet.plans import HermesPlans


def build_network(
    plans_manager: PlansManager,
    configuration_manager: ConfigurationManager,
    num_input_channels: int,
    num_output_channels: int,
    enable_deep_supervision: bool,
) -> ContextualNetwork:
    """Build the network that the plans describe and set the plans' context, for prediction.

    A universal model is not asked for tasks that never saw the modality, unless HERMES_ALL_MODALITIES is set; their
    channels stay empty. Without deep supervision, as nnUNetPredictor wants it, tell so, and who has not named the
    modality; where the plans can find that, images may tell it, see `told_by_image`.

    Raises:
        HermesError: `num_output_channels` (the labels of dataset.json) is not the number of tasks of the context, or
            the plans name a class that is not known, or arguments that it does not take.
    """
    where = f"the plans of {quoted(plans_manager.dataset_name)}"
    check_plans(plans_manager.plans, where)
    check_configuration(configuration_manager.configuration, where)
    plans = HermesPlans.from_plans(plans_manager.plans).with_modality_override()
    if num_output_channels != len(plans.context.tasks):
        raise HermesError(
            f"dataset.json of {plans_manager.dataset_name} has {num_output_channels} labels, but its plans predict "
            f"{len(plans.context.tasks)} tasks: write the model folder again with 'hermes_nnunet views'"
        )
    with _naming_arguments(where):
        network = get_network_from_plans(
            configuration_manager.network_arch_class_name,
            configuration_manager.network_arch_init_kwargs,
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            len(plans.tasks),
            allow_init=True,
            deep_supervision=enable_deep_supervision,
        )
    shown = plans.context.tasks
    told, left_out = _told(plans, plans_manager.dataset_name)
    context = prediction_context(network, told, told.context, shown)
    network.set_context(context)
    if not enable_deep_supervision:
        if plans.finds_modality:
            named = (replace(plans, context=replace(plans.context, modality=name)) for name in plans.modalities)
            each = [_told(own, plans_manager.dataset_name)[0] for own in named]
            contexts = [prediction_context(network, own, own.context, shown) for own in each]
            network.told_by_image = ToldByImage(contexts, context, num_input_channels)
        for notice in filter(None, (told.notice_of_unnamed_modality, told.notice_of_voxel_orders)):
            print(notice)
        if left_out:
            print(f"Tasks {left_out_line(left_out, plans.context.modality, f'{ALL_MODALITIES_VARIABLE}=1')}")
    return network


def network_of_shapes(configuration: Mapping[str, Any], num_input_channels: int, num_tasks: int) -> ContextualNetwork:
    """The network of a configuration of plans on the meta device: names and sizes of its weights, but no content."""
    architecture = configuration["architecture"]
    with torch.device("meta"):
        return get_network_from_plans(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            num_input_channels,
            num_tasks,
            allow_init=False,
            deep_supervision=True,
        )


@contextmanager
def _naming_arguments(where: str) -> Iterator[None]:
    """Let errors of a network's arguments name the plans; those of a person's own class stay as they are.

    Raises:
        HermesError: the network does not take them.
    """
    try:
        yield
    except (HermesError, MemoryError):
        raise
    except Exception as error:
        if are_trusted() or is_of_memory(error) or is_of_the_gpu(error):
            raise
        reason = " ".join(str(error).split())
        raise HermesError(
            f"{where}: the network does not take the arch_kwargs of its configuration ({type(error).__name__}: "
            f"{reason}): copy the plans again"
        ) from None


def _told(plans: HermesPlans, dataset_name: str) -> tuple[HermesPlans, tuple[str, ...]]:
    """The plans with the context that a universal model is told, and the tasks that it is not asked for.

    A view, or whoever named tasks in the plans, wants what is there.
    """
    of_view = dataset_name in {member.dataset_name for member in plans.members.values()}
    if of_view or plans.context.tasks != plans.tasks or all_modalities_override():
        return plans, ()
    left_out = plans.unseen(plans.context.modality)
    return plans.without(left_out) if left_out else plans, left_out


def prediction_context(
    network: ContextualNetwork, plans: HermesPlans, context: Context, shown: Sequence[str] | None = None
) -> ContextBatch:
    """A context as the network wants it at prediction, with one output channel for each task of `shown`.

    Tasks of the base and those of each addition are run after each other.
    `shown` is by default the context's tasks. A null row follows them where it takes part in the attention.
    """
    indexer = ContextIndexer.of_plans(plans)
    shown = context.tasks if shown is None else shown
    parts = plans.parts_of(context)
    first, *more = (
        indexer.for_prediction(part, shown=shown, rows=network.rows_of([part]), voxel_order=order)
        for part, order in parts
    )
    return first._replace(more=tuple(more))
