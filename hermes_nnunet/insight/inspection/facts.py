"""All facts about a collection or a model, as JSON tells them."""

from collections import Counter
from dataclasses import asdict, replace
from typing import Any

from hermes_nnunet.collection import Member
from hermes_nnunet.core.annotated_cases import annotated_cases
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.core.nnunet_files import read_splits
from hermes_nnunet.core.overlaps import may_overlap
from hermes_nnunet.insight.inspection.finding import MODEL, VIEW, Found
from hermes_nnunet.insight.inspection.geometry import read_geometries

FORMAT_VERSION = 1


def facts_of(found: Found) -> dict[str, Any]:
    """Members, tasks, images and folds.

    Raises:
        HermesError: an image or a file of it cannot be read.
    """
    geometries = read_geometries(found)
    counts = _counts(found)
    members = found.collection.members if found.collection is not None else _plans(found).members
    weights = sum(member.sampling_weight for member in members.values())
    return {
        "format_version": FORMAT_VERSION,
        "kind": found.kind,
        "name": found.name,
        "path": str(found.path),
        "modalities": list(found.collection.modalities if found.collection else _plans(found).modalities),
        "tasks": _tasks(found, members),
        "members": {
            name: {
                "dataset_name": member.dataset_name,
                "modalities": dict(member.channels),
                "tasks": list(member.tasks),
                **({"absent": list(found.collection.absent.get(name, ()))} if found.collection else {}),
                "sampling_share": member.sampling_weight / weights,
                **counts.get(name, {}),
                "spacing_mm": asdict(geometries.spacing[name]) if geometries and name in geometries.spacing else None,
                "size_voxels": asdict(geometries.size[name]) if geometries and name in geometries.size else None,
            }
            for name, member in members.items()
        },
        "image_sizes_from": geometries.source if geometries else None,
        "folds": _folds(found),
        "trained_folds": found.trained_folds,
        **({"base": asdict(found.plans.base)} if found.plans is not None and found.plans.base else {}),
        **({"additions": _additions(found)} if found.plans is not None and found.plans.additions else {}),
    }


def _additions(found: Found) -> list[dict[str, Any]]:
    """What additions have brought into a model, with what each says of itself in the weights of the first fold."""
    # Not above: it takes torch, for which nobody else waits.
    from hermes_nnunet.weights.additions.base import headers_of_model

    headers = headers_of_model(found.path) if found.kind in (MODEL, VIEW) else {}
    facts = []
    for addition in _plans(found).additions:
        header = headers.get(addition.member)
        told = {} if header is None else {"dice": header.dice, "trained_on": header.trained_on}
        facts.append({**replace(addition, looks=None).to_json(), **told})
    return facts


def _plans(found: Found) -> Any:
    assert found.plans is not None
    return found.plans


def _tasks(found: Found, members: dict[str, Member]) -> list[dict[str, Any]]:
    """Row of the task pool, name, label values here, members that annotate it, tasks of others that may overlap."""
    if found.collection is not None:
        values = {task.name: task.values for task in found.collection.tasks}
        pool = found.collection.task_names
        overlapping = {task: {"may_overlap": others} for task, others in may_overlap(found.collection).items()}
    else:
        (member,) = members.values()
        values = dict(zip(member.tasks, foreground_values(member.labels).values(), strict=True))
        pool, overlapping = _plans(found).tasks, {}
    return [
        {
            "id": row,
            "name": task,
            "values": list(values[task]),
            "members": [name for name, member in members.items() if task in member.tasks],
            **overlapping.get(task, {}),
        }
        for row, task in enumerate(pool)
        if task in values
    ]


def _counts(found: Found) -> dict[str, dict[str, Any]]:
    """By member; of a collection only."""
    if found.collection is None:
        return {}
    patients = Counter(
        member for member, _ in {(case.member, case.patient) for case in found.collection.cases.values()}
    )
    return {
        name: {
            "cases": own.cases,
            "patients": patients[name],
            "labelled_cases": own.labelled,
            "annotated_cases": dict(own.of_tasks),
        }
        for name, own in annotated_cases(found.collection).items()
    }


def _folds(found: Found) -> list[dict[str, dict[str, int]]]:
    """Cases of each member in both halves of every fold."""
    if found.collection is None or found.splits is None:
        return []
    cases = found.collection.cases
    return [
        {half: dict(Counter(cases[case].member for case in fold[half] if case in cases)) for half in ("train", "val")}
        for fold in read_splits(found.splits, "merge again")
    ]
