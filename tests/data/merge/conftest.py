"""Small data sets in nnU-Net's raw format."""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.merge import MemberSpecification, MergeResult, MergeSpecification, merge, workers
from hermes_nnunet.data.merge.case_rewriting import CaseFiles, CaseReport
from hermes_nnunet.errors import HermesError

LPI = np.diag([-2.0, -2.0, -3.0, 1.0])
RAS = np.diag([1.5, 1.5, 8.0, 1.0])
SHAPE = (6, 5, 4)


class RawFolder:
    """An nnUNet_raw folder to put data sets into."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        dataset: str,
        labels: Mapping[str, Any] | None = None,
        *,
        cases: Sequence[str] = ("a", "b", "c", "d", "e"),
        channels: Sequence[str] = ("CT",),
        regions_class_order: Sequence[int] | None = None,
        splits: list[dict[str, list[str]]] | None = None,
        ending: str = ".nii.gz",
        affine: np.ndarray = RAS,
        **entries: Any,
    ) -> Path:
        """Write a data set whose label files hold every declared value."""
        folder = self.path / dataset
        (folder / "imagesTr").mkdir(parents=True)
        (folder / "labelsTr").mkdir()
        labels = {"background": 0, "liver": 1, "spleen": 2} if labels is None else labels
        content = {
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            "labels": labels,
            "numTraining": len(cases),
            "file_ending": ending,
            **entries,
        }
        if regions_class_order is not None:
            content["regions_class_order"] = regions_class_order
        (folder / "dataset.json").write_text(json.dumps(content))
        if splits is not None:
            (folder / "splits_final.json").write_text(json.dumps(splits))
        for case in cases:
            for channel in range(len(channels)):
                self.write_image(folder, f"{case}_{channel:04d}{ending}", affine)
            self.write_label(folder, f"{case}{ending}", _values(labels), affine)
        return folder

    def write_image(self, folder: Path, name: str, affine: np.ndarray = RAS, shape: Sequence[int] = SHAPE) -> Path:
        """Noise, the same for the same name of data set and file."""
        path = folder / "imagesTr" / name
        seed = zlib.crc32(f"{folder.name}/{name}".encode())
        voxels = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
        return path

    def write_label(
        self,
        folder: Path,
        name: str,
        values: Sequence[float],
        affine: np.ndarray = RAS,
        dtype: type = np.uint16,
        shape: Sequence[int] = SHAPE,
    ) -> Path:
        """The values in turn, from the first voxel to the last."""
        path = folder / "labelsTr" / name
        nibabel.save(nibabel.Nifti1Image(np.resize(values, shape).astype(dtype), affine), path)
        return path

    def files(self) -> dict[str, int]:
        """Every file and folder, hidden ones too, with the time of its last change."""
        return {str(path.relative_to(self.path)): path.stat().st_mtime_ns for path in self.path.rglob("*")}


def _values(labels: Mapping[str, Any]) -> list[int]:
    return sorted({value for declared in labels.values() for value in np.ravel(declared).tolist()})


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RawFolder:
    """An empty nnUNet_raw, with nnU-Net's three variables set."""
    for name in ("raw", "preprocessed", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return RawFolder(tmp_path / "raw")


@pytest.fixture
def merge_members() -> Callable[..., MergeResult]:
    """A function that merges members into data set 900."""

    def call(*members: MemberSpecification, **others: Any) -> MergeResult:
        return merge(MergeSpecification(**{"name": "All", "into": 900, "members": members, **others}), processes=1)

    return call


@pytest.fixture
def refused(raw: RawFolder, merge_members: Callable[..., MergeResult]) -> Callable[..., str]:
    """Call a merge that must be refused; returns the message, having checked that nothing was written."""

    def call(*members: MemberSpecification, **others: Any) -> str:
        before = raw.files()
        with pytest.raises(HermesError) as error:
            merge_members(*members, **others)
        assert raw.files() == before
        return str(error.value)

    return call


@pytest.fixture
def read_json() -> Callable[[Path], Any]:
    return lambda path: json.loads(path.read_text())


@pytest.fixture
def interrupt_merge(monkeypatch: pytest.MonkeyPatch) -> Callable[[MergeSpecification, int], None]:
    """A function that runs a merge in this process and interrupts it after some cases."""

    def run(specification: MergeSpecification, cases: int) -> None:
        done, original = [], workers.rewrite_case

        def interrupted(files: CaseFiles) -> CaseReport:
            if len(done) == cases:
                raise KeyboardInterrupt
            done.append(files)
            return original(files)

        with monkeypatch.context() as context:
            context.setattr(workers, "rewrite_case", interrupted)
            with pytest.raises(KeyboardInterrupt):
                merge(specification, processes=1)

    return run
