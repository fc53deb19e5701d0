"""What a view says differently from the universal model: its dataset.json, plans.json and validation summary."""

from collections.abc import Mapping
from typing import Any

from hermes_nnunet.collection import HERMES_BLOCK, Collection, Member
from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.learning.training.member_dice import VALIDATED_KEY, case_of_entry, summary_key, summary_of_cases
from hermes_nnunet.plans import HermesPlans


def view_dataset_json(member: Member, num_training: int) -> dict[str, Any]:
    """dataset.json of a member's view: the member's own labels, and as many channels as the network has."""
    channel_names = member.channel_names
    chosen = [channel for channel in member.channels.values() if channel is not None]
    if chosen:
        channel_names = {"0": member.channel_names[str(chosen[0])]}
    content = {
        "channel_names": channel_names,
        "labels": member.labels,
        "numTraining": num_training,
        "file_ending": member.file_ending,
        "name": member.dataset_name,
    }
    if member.regions_class_order is not None:
        content["regions_class_order"] = list(member.regions_class_order)
    return content


def view_plans(plans: Mapping[str, Any], member: str) -> dict[str, Any]:
    """plans.json of a member's view: the same network, the member's name and context, and our writer."""
    hermes_plans = HermesPlans.from_plans(plans)
    return {
        **plans,
        "dataset_name": hermes_plans.members[member].dataset_name,
        # Its properties of images are what HermesPreprocessor gives to the writer, also where older plans name another.
        "image_reader_writer": READER_WRITER,
        HERMES_BLOCK: hermes_plans.of_member(member).to_block(),
    }


def view_summary(summary: Mapping[str, Any], collection: Collection, name: str) -> dict[str, Any]:
    """A member's part of the universal model's summary.json, in the member's own labels and nnU-Net's layout."""
    member = collection.members[name]
    values = {task.name: task.values for task in collection.tasks}
    own_key = {
        summary_key(values[task]): summary_key(own)
        for task, own in zip(member.tasks, foreground_values(member.labels).values(), strict=True)
    }
    cases = []
    for entry in summary["metric_per_case"]:
        if collection.cases[case_of_entry(entry)].member == name:
            metrics = {own_key[key]: value for key, value in entry["metrics"].items() if key in own_key}
            cases.append({**entry, "metrics": metrics})
    note = {VALIDATED_KEY: summary[VALIDATED_KEY]} if VALIDATED_KEY in summary else {}
    return summary_of_cases(cases) | note
