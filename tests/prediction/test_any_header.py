"""Any legal file is segmented as its canonical twin is, in voxels and in millimetres, or is refused in one line.

HERMES_EXAMPLES=1000 looks at more files than the suite does, and at others each time.
"""

import json
import os
from dataclasses import dataclass

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet import HermesModel
from hermes_nnunet.data.merge import MemberSpecification, MergeSpecification, merge
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor

EXAMPLES = int(os.environ.get("HERMES_EXAMPLES", "12"))
CODES = [x + y + z for x in "RL" for y in "AP" for z in "SI"] + ["PIR", "SLA", "IPR", "ARS", "SRA", "LIP"]
SPACINGS = (0.5, 0.703125, 1.0, 1.25, 2.0, 2.5, 3.3, 5.0)
AGREE, TWO_SPACINGS = "agree", "two spacings"


@dataclass(frozen=True)
class File:
    """What a file holds: its twin's content, and how it is stored.

    Attributes:
        voxels, labels, affine, spacing: of the canonical twin.
        sform, qform: codes.
        zooms: what the header's zooms have to do with the affine.
    """

    voxels: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    spacing: tuple[float, float, float]
    codes: str
    dtype: type
    slope: float
    sform: int
    qform: int
    zooms: str
    ending: str

    @property
    def is_decided(self) -> bool:
        return self.zooms == AGREE or self.sform == 0 or self.qform > 0

    def write(self, write_nifti, image, label):
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(self.codes))
        own = self.affine @ inv_ornt_aff(turn, self.voxels.shape)
        sform = own @ np.diag([0.5, 0.5, 0.5, 1]) if self.zooms == TWO_SPACINGS else own
        zooms = own_order(self.spacing, turn)
        for path, array, slope in ((image, self.stored, self.slope), (label, self.labels, 1)):
            write_nifti(
                path.with_name(path.name + self.ending),
                np.ascontiguousarray(apply_orientation(array, turn)),
                sform,
                sform=self.sform,
                qform=own,
                qform_code=self.qform,
                zooms=zooms,
                slope=slope,
            )

    @property
    def stored(self) -> np.ndarray:
        return self.voxels.astype(self.dtype)

    def twin(self, path, array):
        nifti = nibabel.Nifti1Image(array, self.affine)
        nifti.header.set_zooms(self.spacing)
        nibabel.save(nifti, path)


@st.composite
def files(draw):
    shape = tuple(draw(st.sampled_from((1, 2, 7, 12))) for _ in range(3))
    spacing = tuple(draw(st.sampled_from(SPACINGS)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    voxels = np.rint(rng.normal(0, 40, shape).cumsum(0)).clip(-2000, 2000)
    angle = np.deg2rad(draw(st.sampled_from((0, 0, 10, -25))))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = [draw(st.sampled_from((-90.0, 0.0, 12.5))) for _ in range(3)]
    return File(
        voxels=voxels,
        labels=rng.integers(0, 3, shape).astype(np.uint8),
        affine=affine,
        spacing=spacing,
        codes=draw(st.sampled_from(CODES)),
        dtype=draw(st.sampled_from((np.int16, np.int32, np.int64, np.float32, np.float64))),
        slope=draw(st.sampled_from((1, 1, 2, 0.5))),
        sform=draw(st.sampled_from((1, 2, 4, 0))),
        qform=draw(st.sampled_from((0, 1, 3))),
        zooms=draw(st.sampled_from((AGREE, AGREE, TWO_SPACINGS))),
        ending=draw(st.sampled_from((".nii.gz", ".nii", ".NII.GZ", ".Nii"))),
    )


def own_order(spacing, turn):
    return tuple(spacing[axis] for axis in np.argsort(turn[:, 0]))


def canonical(voxels, affine):
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(voxels, affine))
    return np.asarray(image.dataobj), image.affine


def preprocessed(plans, images, labels=None):
    """As training has them, without the class locations, which are drawn."""
    manager = PlansManager(plans)
    data, seg, _ = HermesPreprocessor(verbose=False).run_case(
        [str(path) for path in images],
        None if labels is None else str(labels),
        manager,
        manager.get_configuration("3d_fullres"),
        {"labels": {"background": 0, "one": 1, "two": 2}, "file_ending": ".nii.gz"},
    )
    return data, seg


@pytest.mark.filterwarnings("ignore::UserWarning")
class TestAnyFile:
    @pytest.fixture
    def loaded(self, model):
        return HermesModel.load(model, folds=[0], device="cpu")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="HERMES_EXAMPLES" not in os.environ,
        phases=(Phase.explicit, Phase.generate),  # to shrink a file takes minutes and tells no more
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @example(
        file=File(
            voxels=np.array([[[-29.0, 56, 13, -19, 4, -17, -28]], [[-15, 82, 49, 0, 137, 38, -31]]]),
            labels=np.ones((2, 1, 7), np.uint8),
            affine=np.diag([0.5, 0.5, 0.5, 1]),
            spacing=(0.5, 0.5, 0.5),
            codes="PIR",
            dtype=np.int16,
            slope=1,
            sform=1,
            qform=0,
            zooms=AGREE,
            ending=".Nii",
        )
    )
    @given(file=files())
    def test_equals_its_canonical_twin_or_is_refused(self, loaded, plans, tmp_path_factory, write_nifti, file):
        folder = tmp_path_factory.mktemp("any")
        member = folder / "Dataset001_Any"
        for part in ("imagesTr", "labelsTr"):
            (member / part).mkdir(parents=True)
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "one": 1, "two": 2}, "numTraining": 2}
        (member / "dataset.json").write_text(json.dumps({**content, "file_ending": ".nii.gz"}))
        for case in "ab":
            file.write(write_nifti, member / f"imagesTr/{case}_0000", member / f"labelsTr/{case}")
        image = next((member / "imagesTr").glob("a_*"))
        merging = MergeSpecification("All", 900, [MemberSpecification(1, "CT")])
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("nnUNet_raw", str(folder))
            environment.delenv("nnUNet_preprocessed", raising=False)
            environment.delenv("nnUNet_results", raising=False)
            if not file.is_decided:
                for refused in (
                    lambda: merge(merging, processes=1),
                    lambda: loaded.predict(image, members=["abdomen"]),
                ):
                    with pytest.raises(HermesError, match="says two spacings"):
                        refused()
                return
            collection = merge(merging, processes=1).folder
        self.assert_twins(loaded, plans, folder, image, collection, self.as_read(file))

    @staticmethod
    def as_read(file):
        """Without codes a header says the spacing only: the axes run to the left, the front and the head."""
        if file.sform or file.qform:
            return file
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(file.codes))
        spacing = own_order(file.spacing, turn)
        voxels, labels = (apply_orientation(array, turn)[::-1] for array in (file.voxels, file.labels))
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -(np.array(voxels.shape) - 1) / 2 * spacing
        return File(**{**vars(file), "voxels": voxels, "labels": labels, "affine": affine, "spacing": spacing})

    @staticmethod
    def assert_twins(loaded, plans, folder, image, collection, file):
        file.twin(folder / "twin.nii.gz", (file.stored * np.float64(file.slope)).astype(np.float32))
        file.twin(folder / "twin_labels.nii.gz", file.labels)
        entry = json.loads((collection / "dataset.json").read_text())["dataset"]["Any__a"]
        ours = preprocessed(plans, [collection / path for path in entry["images"]], collection / entry["label"])
        theirs = preprocessed(plans, [folder / "twin.nii.gz"], folder / "twin_labels.nii.gz")
        for own, of_twin in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(own, of_twin)
        found, expected = (loaded.predict(path, members=["abdomen"]) for path in (image, folder / "twin.nii.gz"))
        voxels, affine = canonical(found.array, found.affine)
        np.testing.assert_array_equal(voxels, expected.array)
        np.testing.assert_allclose(affine, expected.affine, atol=1e-3)
        for task, measured in expected.statistics().items():
            own = found.statistics()[task]
            assert own["volume_ml"] == pytest.approx(measured["volume_ml"], rel=1e-5)
            mean = measured["mean_intensity"]
            assert own["mean_intensity"] == (None if mean is None else pytest.approx(mean, rel=1e-5))
