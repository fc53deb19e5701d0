import json

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.data.phantoms.phantoms import DEFAULT_IDS, KINDS, phantom_case, write_phantoms
from hermes_nnunet.errors import HermesError

KIND_NAMES = list(KINDS)


def world_centre(label: nibabel.Nifti1Image, value: int) -> np.ndarray:
    voxels = np.argwhere(np.asarray(label.dataobj) == value).mean(0)
    return nibabel.affines.apply_affine(label.affine, voxels)


def label_value(kind: str, name: str) -> int:
    return list(KINDS[kind].labels).index(name) + 1


class TestGeometry:
    @pytest.mark.parametrize("kind", KIND_NAMES)
    def test_has_the_stated_orientation(self, kind):
        image, label = phantom_case(kind, 1)
        assert "".join(nibabel.aff2axcodes(image.affine)) == KINDS[kind].orientation
        assert np.array_equal(image.affine, label.affine)
        assert image.shape == label.shape

    @pytest.mark.parametrize("kind", KIND_NAMES)
    def test_has_the_stated_spacing_along_the_world_axes(self, kind):
        canonical = nibabel.as_closest_canonical(phantom_case(kind, 1)[0])
        assert np.allclose(np.diag(canonical.affine)[:3], KINDS[kind].spacing)

    def test_the_four_orientations_differ(self):
        assert len({kind.orientation for kind in KINDS.values()}) == len(KINDS)

    @given(st.integers(0, 10_000))
    @settings(max_examples=15, deadline=None)
    def test_left_kidney_is_on_the_patients_left(self, seed):
        _, label = phantom_case("CT", seed)
        left, right = (world_centre(label, label_value("CT", side)) for side in ("left_kidney", "right_kidney"))
        # x of RAS world coordinates grows towards the patient's right.
        assert left[0] < right[0] - 35

    @pytest.mark.parametrize("kind", ["CT", "T1", "PET"])
    def test_liver_is_on_the_patients_right_in_every_orientation(self, kind):
        for seed in range(5):
            image, label = phantom_case(kind, seed)
            corners = nibabel.affines.apply_affine(image.affine, [[0, 0, 0], np.array(image.shape) - 1])
            assert world_centre(label, label_value(kind, "liver"))[0] > corners.mean(0)[0]


class TestContent:
    @given(st.sampled_from(KIND_NAMES), st.integers(0, 10_000))
    @settings(max_examples=20, deadline=None)
    def test_every_label_is_there_and_no_other(self, kind, seed):
        label = np.asarray(phantom_case(kind, seed)[1].dataobj)
        assert set(np.unique(label)) == set(range(len(KINDS[kind].labels) + 1))

    def test_kidneys_look_alike(self):
        differences, spreads = [], []
        for seed in range(12):
            image, label = (np.asarray(volume.dataobj) for volume in phantom_case("CT", seed))
            left, right = (image[label == label_value("CT", side)] for side in ("left_kidney", "right_kidney"))
            differences.append(left.mean() - right.mean())
            spreads.append(left.std())
        assert abs(np.mean(differences)) < 0.2 * np.mean(spreads)

    def test_ct_is_in_hounsfield_units(self):
        image, label = (np.asarray(volume.dataobj) for volume in phantom_case("CT", 2))
        assert image.dtype == np.int16
        assert -1050 < image[0, 0].mean() < -900
        assert 80 < np.median(image[label == label_value("CT", "liver")]) < 140

    def test_lesion_is_the_hottest_of_pet(self):
        for seed in range(8):
            image, label = (np.asarray(volume.dataobj) for volume in phantom_case("PET", seed))
            lesion = label == label_value("PET", "lesion")
            assert np.median(image[lesion]) > 2 * np.median(image[label == label_value("PET", "liver")])

    def test_scale_of_mr_varies_from_patient_to_patient(self):
        medians = [
            np.median(np.asarray(image.dataobj)[np.asarray(label.dataobj) == label_value("T1", "liver")])
            for image, label in (phantom_case("T1", seed) for seed in range(6))
        ]
        assert max(medians) > 1.3 * min(medians)


class TestSeed:
    @pytest.mark.parametrize("kind", KIND_NAMES)
    def test_same_seed_gives_same_voxels(self, kind):
        first, again = phantom_case(kind, 5), phantom_case(kind, 5)
        for one, other in zip(first, again, strict=True):
            assert np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))

    def test_other_seed_gives_another_patient(self):
        one, other = (phantom_case("CT", seed)[1] for seed in (5, 6))
        assert one.shape != other.shape or not np.array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))


class TestWritePhantoms:
    @pytest.fixture(scope="class")
    def raw(self, tmp_path_factory):
        raw = tmp_path_factory.mktemp("raw")
        return raw, write_phantoms(raw, cases=2, test_cases=1, seed=3)

    def test_writes_raw_data_sets_as_nnunet_reads_them(self, raw):
        folder, written = raw
        assert [dataset.folder.name for dataset in written] == [
            "Dataset991_PhantomCT",
            "Dataset992_PhantomT1",
            "Dataset993_PhantomT2",
            "Dataset994_PhantomPET",
        ]
        assert sorted(path.name for path in folder.iterdir()) == [dataset.folder.name for dataset in written]
        files = sorted(str(path.relative_to(written[0].folder)) for path in written[0].folder.rglob("*.gz"))
        assert files == [
            "imagesTr/ct_000_0000.nii.gz",
            "imagesTr/ct_001_0000.nii.gz",
            "imagesTs/ct_002_0000.nii.gz",
            "labelsTr/ct_000.nii.gz",
            "labelsTr/ct_001.nii.gz",
            "labelsTs/ct_002.nii.gz",
        ]

    def test_dataset_json_names_the_values_in_the_files(self, raw):
        for dataset in raw[1]:
            content = json.loads((dataset.folder / "dataset.json").read_text())
            assert content["numTraining"] == 2
            assert content["channel_names"] == {"0": dataset.kind.modality}
            for path in dataset.folder.glob("labelsT*/*.nii.gz"):
                assert set(np.unique(np.asarray(nibabel.load(path).dataobj))) == set(content["labels"].values())

    def test_same_seed_writes_same_voxels(self, raw, tmp_path):
        again = write_phantoms(tmp_path, cases=2, test_cases=1, seed=3)
        for one, other in zip(raw[1], again, strict=True):
            for path in one.folder.rglob("*.nii.gz"):
                twin = other.folder / path.relative_to(one.folder)
                assert np.array_equal(np.asarray(nibabel.load(path).dataobj), np.asarray(nibabel.load(twin).dataobj))

    def test_refuses_an_id_that_is_taken_before_writing_anything(self, tmp_path):
        (tmp_path / "Dataset993_Mine").mkdir()
        with pytest.raises(HermesError, match=r"Dataset993_Mine exists already"):
            write_phantoms(tmp_path, ids=DEFAULT_IDS, cases=1, test_cases=1)
        assert [path.name for path in tmp_path.iterdir()] == ["Dataset993_Mine"]
