"""A collection of one new member, planned as its base was, so that an addition to the base can be trained on it."""

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunetv2.configuration import default_num_processes
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from hermes_nnunet.additions import LARGEST_RANK, RANK, AddedMember, BaseReference
from hermes_nnunet.collection import HERMES_BLOCK, Collection
from hermes_nnunet.core.files import read_json, write_json, written_beside
from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.nnunet_files import FINGERPRINT, SPLITS_FILE, read_dataset_json
from hermes_nnunet.core.nnunet_folders import raw_folder
from hermes_nnunet.core.wording import did_you_mean, listed
from hermes_nnunet.data.merge import MergeResult, MergeSpecification, merge
from hermes_nnunet.data.merge.planning import MergePlan, plan_merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import Looks
from hermes_nnunet.modalities import CT, ONE_CHANNEL_REMEDY, channels_named_ct, ct_channels
from hermes_nnunet.planning.image_reader_writer import HermesImageIO
from hermes_nnunet.planning.labelled_intensities import planned_intensity_clipping
from hermes_nnunet.planning.modality.fitting import looks_of
from hermes_nnunet.planning.preprocessing.intensity import default_intensity_clipping
from hermes_nnunet.planning.splits import check_planned_splits
from hermes_nnunet.plans import HermesPlans
from hermes_nnunet.prediction.model_folder import DATASET_FILE
from hermes_nnunet.voxel_orders import OUR_ORDER
from hermes_nnunet.weights.additions.base import ModelFold, read_fold
from hermes_nnunet.weights.additions.compose import members_of_base, plans_without_additions, set_pool_sizes


@dataclass(frozen=True)
class ExtendResult:
    """What was written.

    Attributes:
        merged: the collection.
        base: what its addition will be for.
        plans: the plans file.
        new_modalities: modalities that the base does not know.
    """

    merged: MergeResult
    base: ModelFold
    plans: Path
    new_modalities: tuple[str, ...]


def extend(
    base_folder: Path,
    specification: MergeSpecification,
    *,
    preprocessed: Path,
    fold: str | int | None = None,
    rank: int = RANK,
    processes: int | None = None,
    dry_run: bool = False,
) -> ExtendResult:
    """Merge one new member into a collection of its own, and plan it with the spacing, patch and network of a base.

    Args:
        base_folder: model folder of the base.
        specification: of the collection, with the new member alone.
        preprocessed: nnUNet_preprocessed.
        fold: of the base; None takes the first that is finished.
        rank: of the addition's adapters.
        processes: see `merge`.
        dry_run: see `merge`.

    Raises:
        HermesError: the base is not trained to its end, or knows what the member brings; or the merge is not possible.
    """
    if not 1 <= rank <= LARGEST_RANK:
        raise HermesError(f"rank {rank} of the adapters: give a number from 1 to {LARGEST_RANK}")
    if len(specification.members) != 1:
        raise HermesError("an addition is of one member: name one data set, and extend again for the next")
    base = read_fold(base_folder, fold)
    planned = plan_merge(specification, raw_folder())
    _check_member(base, planned, specification)
    check_planned_splits(planned.folder, preprocessed / planned.folder.name)
    merged = merge(specification, processes=processes, dry_run=dry_run)
    folder = preprocessed / merged.folder.name
    path = folder / f"{base.model.plans['plans_name']}.json"
    if not dry_run:
        _write_preprocessed(folder, merged)
        # Last: without it nothing begins.
        write_json(_plans(base, merged, rank), path)
    return ExtendResult(merged, base, path, _new_modalities(base, merged.collection))


def _check_member(base: ModelFold, planned: MergePlan, specification: MergeSpecification) -> None:
    """See that a new member fits a base, and brings what the base does not have."""
    if base.model.path.parent.name.startswith(f"Dataset{specification.into:03d}_"):
        raise HermesError(f"--into {specification.into} is the base's own id: choose another one")
    channels = len(planned.dataset_json["channel_names"])
    if channels != base.model.image_channels:
        raise HermesError(
            f"data set {specification.members[0].dataset} has {channels} channels, the base takes "
            f"{base.model.image_channels}: an addition cannot change that; choose with channel: or channels: in a YAML "
            f"file (--members)"
        )
    (member,) = planned.collection.members.values()
    for modality in member.modalities:
        check_spelling(modality, base.plans.modalities, f"modality {modality} of {member.name}")
    cts = base.plans.intensity_clipping.get(CT, {}).get("channels") if CT in member.modalities else None
    if cts is not None and cts != list(channels_named_ct(member.channel_names)):
        raise HermesError(
            f"the base takes channel {listed(cts)} of its CT images for CT, of data set "
            f"{specification.members[0].dataset} other channels are named so: give it the base's order of channels, or "
            f"{ONE_CHANNEL_REMEDY} (--members)"
        )
    # Also what additions have brought into it: the model that comes of the training has these, too.
    if base.plans.addition_of(member.name) is not None:
        raise HermesError(
            f"the base has an addition '{member.name}': take it out with 'hermes_nnunet add -m {base.model.path} "
            f"--without {member.name}', or give the new member another name (name: in a YAML file)"
        )
    if member.name in members_of_base(base.plans, base.model):
        raise HermesError(
            f"the base already has a member '{member.name}': give the new one another name (name: in a YAML file)"
        )
    owner = next((own.name for own in base.plans.members.values() if own.dataset_name == member.dataset_name), None)
    if owner is not None:
        raise HermesError(
            f"the base has {member.dataset_name} as its member '{owner}', whose model folder lies under this name: "
            "copy the data set to another id for its new labels"
        )
    known = [task for task in planned.collection.task_names if task in base.plans.tasks]
    if known:
        raise HermesError(
            f"the base already has the task {listed(known)}: rename the label (labels: in a YAML file), or leave it out"
        )


def check_spelling(modality: str, known: Sequence[str], what: str) -> None:
    """See that a modality is one that a base knows, or surely another one.

    Args:
        known: modalities of the base.
        what: says in the message whose modality it is.

    Raises:
        HermesError: the base knows it with other capitals.
    """
    same = [name for name in known if name.casefold() == modality.casefold()]
    if same and modality not in known:
        raise HermesError(
            f"{what}{did_you_mean(modality, same)}: the base knows {listed(known)}, and the same modality is written "
            "alike"
        )


def _new_modalities(base: ModelFold, collection: Collection) -> tuple[str, ...]:
    known = plans_without_additions(base.plans).modalities
    return tuple(name for name in collection.modalities if name not in known)


def _plans(base: ModelFold, merged: MergeResult, rank: int) -> dict[str, Any]:
    """Content of the plans file of a merged collection."""
    content = read_dataset_json(merged.folder / DATASET_FILE, "extend again")
    files = get_filenames_of_train_images_and_targets(str(merged.folder), content)
    # One model has one rule for a modality, also where an addition has brought it.
    rules = dict(base.plans.intensity_clipping)
    new = [name for name in _new_modalities(base, merged.collection) if name not in base.plans.modalities]
    if new:
        planned = _planned_rules(base, merged.collection, files, content)
        rules |= {name: rule for name, rule in planned.items() if name in new}
    looks = looks_of(merged.collection, files, HermesImageIO)
    return plans_of_addition(base, merged.collection, merged.folder.name, rules, rank, looks)


def plans_of_addition(
    base: ModelFold,
    collection: Collection,
    dataset_name: str,
    rules: Mapping[str, dict[str, Any]],
    rank: int,
    looks: Looks | None,
) -> dict[str, Any]:
    """Content of the plans file: the base's, with the collection's own tasks, modalities and adapters.

    Args:
        collection: with one member.
        dataset_name: of the collection.
        rules: intensity rules by modality.
        rank: of the adapters.
        looks: of the collection's images.
    """
    base_plans = plans_without_additions(base.plans)
    (member,) = collection.members.values()
    added = AddedMember(member.name, collection.task_names, _new_modalities(base, collection), rank, looks)
    # Where null rows take part, one of them follows the tasks.
    most_tasks = max((len(own.tasks) for own in base_plans.members.values()), default=0)
    surplus = base_plans.rows_per_case - most_tasks
    # What the base knows it knows of images that lie so.
    order = base_plans.order_of_images(member.modalities[0])
    hermes_plans = replace(
        HermesPlans.of_collection(collection, dict(rules), len(member.tasks) + max(0, min(1, surplus))),
        voxel_order=order,
        voxel_orders={} if order == OUR_ORDER else {member.name: order},
        additions=(added,),
        base=BaseReference(str(base.model.path.resolve()), base.fold, base.base_hash),
    )
    plans = copy.deepcopy(
        {
            **base.model.plans,
            "dataset_name": dataset_name,
            "image_reader_writer": READER_WRITER,
            HERMES_BLOCK: hermes_plans.to_block(),
        }
    )
    for arguments in set_pool_sizes(plans, hermes_plans):
        if "rows_per_case" in arguments:
            arguments["rows_per_case"] = hermes_plans.rows_per_case
    return plans


def _planned_rules(
    base: ModelFold, collection: Collection, files: Mapping[str, Mapping[str, Any]], dataset_json: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Intensity rules as the base's planner makes them."""
    if not base.model.merges_members:  # a network of the paper, whose planners have the paper's rules
        return default_intensity_clipping(ct_channels(collection.members))
    return planned_intensity_clipping(collection, files, dataset_json)


def _write_preprocessed(folder: Path, merged: MergeResult) -> None:
    """Write what nnU-Net's planning leaves beside the plans."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DATASET_FILE, SPLITS_FILE):
        with written_beside(folder / name) as temporary:
            shutil.copyfile(merged.folder / name, temporary)
    if not merged.is_up_to_date or not _is_whole(folder / FINGERPRINT):
        # nnU-Net writes where a link leads.
        (folder / FINGERPRINT).unlink(missing_ok=True)
        DatasetFingerprintExtractor(merged.folder.name, default_num_processes).run(overwrite_existing=True)


def _is_whole(fingerprint: Path) -> bool:
    """Whether a file that nnU-Net does not write at once was written to its end."""
    try:
        read_json(fingerprint, "extend again")
    except HermesError:
        return False
    return True
