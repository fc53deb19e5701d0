"""The universal model's validation segmentations of one member, in the member's own values and case names."""

from pathlib import Path

import numpy as np

from hermes_nnunet.collection import Collection, Member, case_identifier, member_and_own_case
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.images.writing import save_on_grid
from hermes_nnunet.core.label_values import foreground_values


def own_written_values(member: Member, collection: Collection) -> dict[int, int]:
    """Value in a segmentation of the collection -> value in one of the member, for each of its tasks."""
    written = {task.name: task.written_value for task in collection.tasks}
    own = member.regions_class_order or [values[0] for values in foreground_values(member.labels).values()]
    return {written[task]: value for task, value in zip(member.tasks, own, strict=True)}


def write_own_segmentations(source: Path, target: Path, member: Member, collection: Collection) -> None:
    """Write every segmentation of the member in `source` to `target`, where nnU-Net's cross-validation tools look.

    Args:
        source: validation folder of the universal model.
        target: validation folder of the view.
    """
    values = own_written_values(member, collection)
    for path in sorted(source.glob(case_identifier(member.name, "*.nii.gz"))):
        segmentation = open_image(path)
        voxels = segmentation.labels()
        own = np.zeros(voxels.shape, np.uint8 if max(values.values()) < 256 else np.uint16)
        for written, value in values.items():
            own[voxels == written] = value
        _, case = member_and_own_case(path.name.removesuffix(".nii.gz"))
        with written_beside(target / f"{case}{member.file_ending}") as temporary:
            save_on_grid(own, temporary, segmentation.geometry)
