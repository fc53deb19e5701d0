"""Write the files of one case."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hermes_nnunet.core.digests import digest_of_json
from hermes_nnunet.core.files import written_beside
from hermes_nnunet.core.images.geometry import Geometry, grid_problem
from hermes_nnunet.core.images.opening import open_image
from hermes_nnunet.core.images.writing import save_mended
from hermes_nnunet.core.shortages import FEWER_PROCESSES, memory_for
from hermes_nnunet.core.wording import listed
from hermes_nnunet.data.conversion.converter import SourceCase
from hermes_nnunet.data.conversion.voxel_mending import whole_labels
from hermes_nnunet.data.merge.case_rewriting import map_values, write_label
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class CaseTask:
    """What a worker needs for one case.

    Attributes:
        made_from: digest of what decides the content of its files.
        images: file to write for each channel.
        label: file to write; None for a case without label.
        values: published value -> value to write.
        may_be_empty: whether background only is allowed.
        link: link to image files whose bytes are right, instead of copying them.
    """

    case: SourceCase
    made_from: str
    images: tuple[Path, ...]
    label: Path | None
    values: Mapping[int, int]
    may_be_empty: bool
    link: bool

    @property
    def outputs(self) -> tuple[Path, ...]:
        return self.images if self.label is None else (*self.images, self.label)

    def is_written(self) -> bool:
        """Whether all files are there, whatever they were made from."""
        return all(path.is_file() for path in self.outputs)


def digest_of(case: SourceCase, values: Mapping[int, int], source: Path) -> str:
    """Digest of what decides the content of a case's files: files in the folder `source`, and label values.

    Files are compared by name, size and time of last change: archives are unpacked with times of long ago, and names
    that count cases mean others when a case is added.
    """
    volumes = [*case.images, *([] if case.label is None else [case.label])]
    content = [[volume.stamps(source) for volume in volumes], sorted(values.items())]
    return digest_of_json(content)


@dataclass(frozen=True)
class WrittenCase:
    """What came of a case.

    Attributes:
        problem: in one line where the case is broken; then none of its files is written.
        gaps: number of voxels that were no numbers and have the median of those around now.
        rounded: label values were beside whole numbers and have been rounded.
    """

    problem: str | None = None
    gaps: int = 0
    rounded: bool = False


def write_case(task: CaseTask) -> WrittenCase:
    """Write images and label of a case, or none of its files where it is broken.

    Raises:
        OSError: the files cannot be written, which is not the case's fault.
        HermesError: memory is too small for the case.
    """
    with memory_for(task.case.images[0].files[0], remedy=FEWER_PROCESSES):
        return _write(task)


def _write(task: CaseTask) -> WrittenCase:
    written = False
    try:
        mapped, rounded = (None, False) if task.case.label is None else _mapped_label(task)
        volumes = zip(task.case.images, task.images, strict=True)
        gaps = sum(volume.write(path, link=task.link) for volume, path in volumes)
        geometry = open_image(task.images[0]).geometry
        for path in task.images[1:]:
            _align(path, geometry)
        if mapped is not None and task.label is not None:
            write_label(mapped, geometry, [task.label])
        written = True
    except HermesError as error:
        return WrittenCase(str(error))
    finally:
        if not written:
            for path in task.outputs:
                path.unlink(missing_ok=True)
    return WrittenCase(gaps=gaps, rounded=rounded)


def _align(path: Path, geometry: Geometry) -> None:
    """Give a channel the geometry of the first one where its own differs by more than rounding."""
    image = open_image(path)
    if grid_problem(geometry, "first", image.geometry, "channel") is not None:
        with written_beside(path) as temporary:
            save_mended(replace(image, geometry=geometry), temporary)


def _mapped_label(task: CaseTask) -> tuple[np.ndarray, bool]:
    """Values to write, and whether published ones had to be rounded."""
    assert task.case.label is not None
    name = task.case.label.files[0]
    voxels, rounded = whole_labels(task.case.label.voxels())
    mapped, unknown = map_values(voxels, task.values, "uint8")
    if unknown:
        raise HermesError(f"{name} holds the values {listed(unknown)}, known are {listed(sorted(task.values))}")
    if not task.may_be_empty and not mapped.any():
        raise HermesError(f"{name} labels nothing: all voxels are background")
    return mapped, rounded
