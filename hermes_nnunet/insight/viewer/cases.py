"""A case that can be shown, and reading its files."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hermes_nnunet.core.expected_dice import ExpectedOfTasks
from hermes_nnunet.core.images.geometry import Geometry, grid_problem
from hermes_nnunet.core.images.opening import OpenImage, open_image
from hermes_nnunet.core.layers import Layers, layers_of_label_map, layers_of_masks
from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.core.viewer.scene import PREDICTION, REFERENCE, Scene, in_ras
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.image_sources import FileSource, ImageSource
from hermes_nnunet.prediction.seg_nrrd import is_seg_nrrd, read_seg_nrrd

Masks = Mapping[str, Path]


@dataclass(frozen=True)
class Reference:
    """What a prediction is compared with.

    Attributes:
        path: of the label map.
        values: of each task that it labels, by name; None where they are those of the prediction.
        ignored: value of the voxels that it says nothing of; None where there are none.
    """

    path: Path
    values: Mapping[str, tuple[int, ...]] | None = None
    ignored: int | None = None


@dataclass(frozen=True)
class ShownCase:
    """Where the files of a case are; none is read before it is shown.

    Attributes:
        name: in the list.
        labels: the tasks.
        prediction: a label map, or a mask for each task.
        image: what was segmented; None where it is not known.
        reference: None where there is none.
        modality: of the image.
        dice: by task; where it is empty and there is a reference, it is measured.
        expected_dice: of images of the training's kind, by task, where it is known.
        notes: lines that people should read.
    """

    name: str
    labels: tuple[Label, ...]
    prediction: Path | Masks
    image: ImageSource | None
    reference: Reference | None
    modality: str
    dice: Mapping[str, float] = field(default_factory=dict)
    expected_dice: ExpectedOfTasks = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_scene(case: ShownCase) -> Scene:
    """Read a case. An image or a reference that cannot be shown with the segmentation is left out, with a note.

    Raises:
        HermesError: the segmentation cannot be read.
    """
    notes = list(case.notes)
    name, geometry, layers = _prediction(case)
    segmentations, dice, unlabelled = {PREDICTION: layers}, case.dice, frozenset[str]()
    if case.reference is not None:
        try:
            label_map = open_image(case.reference.path)
            _check_grid(label_map, geometry, name)
            values = in_ras(label_map.geometry, label_map.labels())
            segmentations[REFERENCE] = layers_of_label_map(values, _labels_in(case.reference, case.labels))
            unlabelled = _unlabelled(case.reference, case.labels)
            dice = case.dice or {
                task: score
                for task, score in _without(layers, values, case.reference).dice(segmentations[REFERENCE]).items()
                if task not in unlabelled
            }
        except HermesError as error:
            notes.append(f"The reference is left out: {error}")
    voxels, slope, intercept = None, 1.0, 0.0
    if case.image is not None:
        try:
            with tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder:
                image = _first_channel(case.image, Path(folder))
                _check_grid(image, geometry, name)
                stored, slope, intercept = image.unscaled()
                voxels = in_ras(image.geometry, stored)
        except (HermesError, OSError) as error:
            notes.append(f"The image is left out: {error}")
    return Scene(
        name=case.name,
        image=voxels,
        slope=slope,
        intercept=intercept,
        affine=geometry.ras_affine,
        labels=case.labels,
        segmentations=segmentations,
        unlabelled=unlabelled,
        modality=case.modality,
        dice=dice,
        expected_dice=case.expected_dice,
        notes=tuple(notes),
    )


def _prediction(case: ShownCase) -> tuple[str, Geometry, Layers]:
    if isinstance(case.prediction, Path) and is_seg_nrrd(case.prediction):
        geometry, segments = read_seg_nrrd(case.prediction, case.labels)
        in_order = tuple(in_ras(geometry, volume) for volume in segments.volumes)
        return str(case.prediction), geometry, replace(segments, volumes=in_order)
    if isinstance(case.prediction, Path):
        label_map = open_image(case.prediction)
        voxels = in_ras(label_map.geometry, label_map.labels())
        return label_map.name, label_map.geometry, layers_of_label_map(voxels, case.labels)
    first = open_image(next(iter(case.prediction.values())))
    masks = _masks(case.prediction, first)
    return first.name, first.geometry, layers_of_masks(masks, first.geometry.ras_shape, len(case.prediction))


def _masks(files: Masks, first: OpenImage) -> Iterator[tuple[str, np.ndarray]]:
    """One after another, for a process may hold only so many files open."""
    for number, (task, path) in enumerate(files.items()):
        mask = open_image(path) if number else first
        _check_grid(mask, first.geometry, first.name)
        yield task, in_ras(mask.geometry, mask.labels()) > 0


def _labels_in(reference: Reference, labels: Sequence[Label]) -> list[Label]:
    """The tasks with the values that they have in a reference; none for those that it does not label."""
    values = reference.values
    return list(labels) if values is None else [replace(label, values=values.get(label.name, ())) for label in labels]


def _unlabelled(reference: Reference, labels: Sequence[Label]) -> frozenset[str]:
    return frozenset(label.name for label in _labels_in(reference, labels) if not label.values)


def _without(layers: Layers, values: np.ndarray, reference: Reference) -> Layers:
    """Layers without the voxels that a reference of these values ignores."""
    if reference.ignored is None:
        return layers
    ignored = values == reference.ignored
    return replace(layers, volumes=tuple(np.where(ignored, volume.dtype.type(0), volume) for volume in layers.volumes))


def _first_channel(source: ImageSource, folder: Path) -> OpenImage:
    if isinstance(source, FileSource):
        return open_image(source.files[0], source.spacing_from)
    image = open_image(source.image_files(folder)[0])
    image.voxels()  # the file goes
    return image


def _check_grid(image: OpenImage, geometry: Geometry, name: str) -> None:
    problem = grid_problem(image.geometry, image.name, geometry, name)
    if problem is not None:
        raise HermesError(f"{problem}: it is not of this segmentation")
