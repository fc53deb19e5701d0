"""The place that a collection takes in nnU-Net's folders."""

from hermes_nnunet.core.nnunet_folders import PREPROCESSED, RAW, RESULTS, datasets_with_id, optional_folder
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.merge.planning import MergePlan
from hermes_nnunet.data.merge.record import RECORD_FILE, MergeRecord, read_record, specification_differences
from hermes_nnunet.data.merge.specification import MergeSpecification
from hermes_nnunet.errors import HermesError


def existing_record(specification: MergeSpecification, plan: MergePlan) -> MergeRecord | None:
    """Record of the same merge if it has been made before, None if its id is free.

    Raises:
        HermesError: the id belongs to something else, in any of nnU-Net's folders.
    """
    name = specification.dataset_name
    for variable in (RAW, PREPROCESSED, RESULTS):
        folder = optional_folder(variable)
        others = [] if folder is None else [o for o in datasets_with_id(folder, specification.into) if o != name]
        if others:
            raise HermesError(
                f"id {specification.into} is taken by {listed(others)} in {variable}={folder}: choose another --into, "
                "or remove that folder"
            )
    if not plan.folder.exists():
        return None
    if not (plan.folder / RECORD_FILE).is_file():
        raise HermesError(
            f"{plan.folder} exists and was not made by a merge (it has no {RECORD_FILE}): choose another --into, or "
            "remove that folder"
        )
    record = read_record(plan.folder, "choose another --into, or remove that folder")
    different = specification_differences(record.specification, plan.record.specification)
    if different:
        raise HermesError(
            f"{plan.folder} was made by another merge ({listed(different, limit=3)}): choose another --into, or remove "
            "that folder"
        )
    return record
