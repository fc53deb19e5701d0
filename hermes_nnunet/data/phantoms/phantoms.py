"""Phantom data sets in nnU-Net's raw format: one anatomy, four modalities, partial and conflicting labels."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from hermes_nnunet.core.files import folder_written_beside, write_json
from hermes_nnunet.data.phantoms.anatomy import draw_anatomy
from hermes_nnunet.data.phantoms.looks import Look, look_ct, look_pet, look_t1, look_t2
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class PhantomKind:
    """What one phantom data set looks like.

    Attributes:
        modality: as a merge is told.
        look: renders the image.
        orientation: axis codes of the stored voxels.
        spacing: mm a voxel along the world's x, y and z, whatever the order of the stored axes.
        labels: label name -> structures of the anatomy that it covers; values count from 1 in this order.
        sampling_weight: share of the training patches in the demonstration; more for what is harder to learn.
        part: of the body, in the data set's name, where there are several kinds of a modality.
    """

    modality: str
    look: Look
    orientation: str
    spacing: tuple[float, float, float]
    labels: dict[str, tuple[str, ...]]
    sampling_weight: float = 1
    part: str = ""

    @property
    def name(self) -> str:
        """Of the data set, without its number."""
        return f"Phantom{self.modality}{self.part}"


KINDS = {
    kind.modality: kind
    for kind in (
        PhantomKind(
            "CT",
            look_ct,
            "LPI",
            (2.5, 2.5, 4.0),
            {"liver": ("liver",), "left_kidney": ("left_kidney",), "right_kidney": ("right_kidney",)},
            sampling_weight=2.5,
        ),
        PhantomKind("T1", look_t1, "RAS", (3.0, 3.0, 5.0), {"spine": ("spine", "disc"), "liver": ("liver",)}),
        PhantomKind(
            "T2", look_t2, "PSR", (4.0, 3.0, 3.0), {"heart": ("heart",), "kidney": ("left_kidney", "right_kidney")}
        ),
        PhantomKind(
            "PET", look_pet, "LAS", (4.0, 4.0, 4.0), {"liver": ("liver",), "lesion": ("lesion",)}, sampling_weight=1.5
        ),
    )
}
DEFAULT_IDS = (991, 992, 993, 994)


@dataclass(frozen=True)
class PhantomDataset:
    """A phantom data set on disk."""

    dataset_id: int
    kind: PhantomKind
    folder: Path


def phantom_case(kind: str | PhantomKind, seed: int | Sequence[int]) -> tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]:
    """Image and label map of one patient, about 40 voxels a side; the same seed gives the same patient and noise.

    Args:
        kind: a key of KINDS, or a kind of one's own.
        seed: any seed of numpy.random.default_rng.
    """
    phantom = KINDS[kind] if isinstance(kind, str) else kind
    generator = np.random.default_rng(seed)
    spacing = np.asarray(phantom.spacing)
    shape = np.round(generator.uniform((118, 108, 118), (128, 122, 128)) / spacing).astype(int)
    origin = -spacing * (shape - 1) / 2 + generator.normal((0, 0, 3), 3)
    points = origin[:, None, None, None] + np.indices(shape) * spacing[:, None, None, None]
    masks = draw_anatomy(points, generator)
    image = phantom.look(masks, points, phantom.spacing, generator)
    label = np.zeros(shape, np.uint8)
    for value, structures in enumerate(phantom.labels.values(), start=1):
        for structure in structures:
            label[masks[structure]] = value
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return _stored(image, affine, phantom.orientation), _stored(label, affine, phantom.orientation)


def write_phantoms(
    raw_folder: str | os.PathLike[str],
    ids: Sequence[int] = DEFAULT_IDS,
    cases: int = 10,
    test_cases: int = 2,
    seed: int = 0,
    kinds: Sequence[PhantomKind] = tuple(KINDS.values()),
) -> list[PhantomDataset]:
    """Write phantom data sets, each with `cases` training and `test_cases` held-out patients.

    Args:
        raw_folder: nnU-Net's raw folder; made where it does not exist.
        ids: one number a data set, in the order of `kinds`.
        cases: training cases of each.
        test_cases: held-out cases of each.
        seed: the same seed writes the same files.
        kinds: one a data set.

    Raises:
        HermesError: a data set with one of the numbers is there already.
    """
    raw_folder = Path(raw_folder)
    for dataset_id in ids:
        for existing in raw_folder.glob(f"Dataset{dataset_id:03d}_*"):
            raise HermesError(f"{existing} exists already: remove it or choose another id for the phantom data set")
    raw_folder.mkdir(parents=True, exist_ok=True)
    return [
        _write_dataset(raw_folder, dataset_id, kind, cases, test_cases, seed)
        for dataset_id, kind in zip(ids, kinds, strict=True)
    ]


def _write_dataset(
    raw_folder: Path, dataset_id: int, phantom: PhantomKind, cases: int, test_cases: int, seed: int
) -> PhantomDataset:
    folder = raw_folder / f"Dataset{dataset_id:03d}_{phantom.name}"
    with folder_written_beside(folder) as unfinished:
        for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
            (unfinished / part).mkdir()
        for number in range(cases + test_cases):
            part = "Tr" if number < cases else "Ts"
            name = f"{phantom.modality.lower()}_{number:03d}"
            image, label = phantom_case(phantom, (seed, dataset_id, number))
            nibabel.save(image, unfinished / f"images{part}" / f"{name}_0000.nii.gz")
            nibabel.save(label, unfinished / f"labels{part}" / f"{name}.nii.gz")
        write_json(
            {
                "channel_names": {"0": phantom.modality},
                "labels": {"background": 0} | {name: value for value, name in enumerate(phantom.labels, start=1)},
                "numTraining": cases,
                "file_ending": ".nii.gz",
            },
            unfinished / "dataset.json",
        )
    return PhantomDataset(dataset_id, phantom, folder)


def _stored(voxels: np.ndarray, affine: np.ndarray, orientation: str) -> nibabel.Nifti1Image:
    """A RAS array with its axes turned and flipped into `orientation`."""
    image = nibabel.Nifti1Image(voxels, affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(orientation)
    )
    turned = image.as_reoriented(turn)
    turned.header.set_xyzt_units("mm")
    return turned
