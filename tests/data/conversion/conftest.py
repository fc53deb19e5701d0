"""Small source trees of real NIfTI files, and an empty nnUNet_raw to convert them into."""

import json
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from hermes_nnunet.core.paper.case_lists import CaseLists
from hermes_nnunet.data.conversion import Converter, files_by_key, nifti_pairs
from hermes_nnunet.data.conversion.converting import ConversionResult, convert
from hermes_nnunet.data.conversion.registry import find_converter
from hermes_nnunet.errors import HermesError

SHAPE = (6, 5, 4)


def _oblique() -> np.ndarray:
    """LPI, turned about two axes, as a tilted gantry or an MR scanner gives it."""
    a, b = np.deg2rad([17.0, -8.0])
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag([-0.8, -0.9, -2.5])
    affine[:3, 3] = 112.25, 80.5, -33.125
    # As a header stores it, so that what is read back can be compared exactly.
    return affine.astype(np.float32).astype(np.float64)


AFFINES = {
    "RAS": np.diag([1.5, 1.5, 8.0, 1.0]),
    "LPS": np.diag([-0.75, -0.75, 5.0, 1.0]),
    "LPI": np.diag([-2.0, -2.0, -3.0, 1.0]),
    "oblique": _oblique(),
}


class Source:
    """The folder of a downloaded data set."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def image(
        self,
        name: str,
        affine: np.ndarray = AFFINES["oblique"],
        *,
        shape: Sequence[int] = SHAPE,
        dtype: type = np.int16,
    ) -> Path:
        """Noise, the same for the same name."""
        seed = zlib.crc32(name.encode())
        return self.write(name, np.random.default_rng(seed).integers(-1000, 1000, shape).astype(dtype), affine)

    def label(
        self,
        name: str,
        values: Sequence[float],
        affine: np.ndarray = AFFINES["oblique"],
        *,
        shape: Sequence[int] = SHAPE,
        dtype: type = np.uint8,
    ) -> Path:
        """The values in turn, from the first voxel to the last."""
        return self.write(name, np.resize(values, shape).astype(dtype), affine)

    def write(self, name: str, voxels: np.ndarray, affine: np.ndarray = AFFINES["oblique"]) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(voxels, affine)
        image.set_qform(affine, code=1)
        image.set_sform(affine, code=1)
        nibabel.save(image, path)
        return path

    def pairs(self, numbers: Sequence[int], image: str, label: str, values: Sequence[int], **options: Any) -> None:
        """An image and a label for each number; the names are formats of it."""
        for number in numbers:
            self.image(image.format(number), **options)
            self.label(label.format(number), values, **options)


class Converted:
    """A converted data set, as nnU-Net finds it."""

    def __init__(self, result: ConversionResult) -> None:
        self.result = result
        self.folder = result.folder

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def names(self, part: str) -> list[str]:
        """Names of the files in a part: imagesTr, labelsTs ..."""
        return sorted(os.listdir(self.folder / part)) if (self.folder / part).is_dir() else []

    def voxels(self, name: str) -> np.ndarray:
        return np.asanyarray(nibabel.load(self.folder / name).dataobj)

    def affine(self, name: str) -> np.ndarray:
        return nibabel.load(self.folder / name).affine


@pytest.fixture
def affines() -> dict[str, np.ndarray]:
    return AFFINES


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """An empty folder for a data set."""
    (tmp_path / "source").mkdir()
    return Source(tmp_path / "source")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty nnUNet_raw, with nnU-Net's three variables set."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "raw"


@pytest.fixture
def converted(raw: Path, source: Source) -> Callable[..., Converted]:
    """A function that converts `source`, given a converter (or its name) and arguments of `convert`."""

    def run(converter: Converter | str, number: int = 11, folder: Path = source.path, **arguments: Any) -> Converted:
        if isinstance(converter, str):
            converter = _installed(converter)
        return Converted(convert(converter, folder, number, **{"processes": 1, **arguments}))

    return run


def _installed(name: str) -> Converter:
    try:
        return find_converter(name)
    except HermesError as error:
        if "does not see the converters" not in str(error) or os.environ.get("HERMES_TEST_INSTALLED"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def toy() -> Callable[..., Converter]:
    """A function that makes a converter of images a.nii.gz with labels a_seg.nii.gz of liver (2) and spleen (7)."""

    def make(**changes: Any) -> Converter:
        return replace(
            Converter(
                name="toy",
                title="A toy",
                dataset="Toy",
                modalities=("CT",),
                channels=("CT",),
                labels=("spleen", "liver"),
                values={2: "liver", 7: "spleen", 9: None},
                cases=3,
                home="https://example.org",
                licence="CC0",
                reference="Nobody, nowhere",
                release="1",
                layout=("a.nii.gz",),
                find_cases=lambda folder: nifti_pairs(
                    files_by_key(folder, r"([a-z]\d)\.nii(?:\.gz)?"),
                    files_by_key(folder, r"([a-z]\d)_seg\.nii\.gz"),
                    lambda key: {"name": key, "patient": key[0]},
                    unlabelled=files_by_key(folder, r"test/(.+)\.nii\.gz"),
                ),
            ),
            **changes,
        )

    return make


@pytest.fixture
def lists() -> CaseLists:
    return CaseLists(train=("a1", "a2"), val=("b1",), test=("c1",))


@pytest.fixture
def toy_source(source: Source) -> Source:
    """Labelled cases a1, a2, b1 and c1, all with every value."""
    for case in ("a1", "a2", "b1", "c1"):
        source.image(f"{case}.nii.gz")
        source.label(f"{case}_seg.nii.gz", [0, 2, 7, 9])
    return source
