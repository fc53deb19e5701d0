import errno
import json
import os
from pathlib import Path

import blosc2
import nibabel
import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy import ndimage

from hermes_nnunet.core.images.remarks import NOT_HOUNSFIELD, PADDING
from hermes_nnunet.errors import CommandEndedError, HermesError
from hermes_nnunet.planning.preprocessing.preprocessor import HermesPreprocessor, context_channel
from hermes_nnunet.plans import HermesPlans


def written_image(path, array, spacing=(1.5, 1.5, 1.5), signs=(1, 1, 1)):
    affine = np.diag([*(np.array(spacing) * signs), 1.0])
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return str(path)


def preprocessed(plans, dataset_json, image, seg=None):
    manager = PlansManager(plans)
    configuration = manager.get_configuration("3d_fullres")
    return HermesPreprocessor(verbose=False).run_case([image], seg, manager, configuration, dataset_json)


def expected_voxels(file, spacing_mm, clip):
    """Clip, z-score and linear resampling with scipy between voxel centres; axes z, y, x of RAS."""
    image = nibabel.as_closest_canonical(nibabel.load(file))
    array = image.get_fdata(dtype=np.float32).transpose(2, 1, 0)
    own = np.array(image.header.get_zooms()[::-1], dtype=float)
    array = np.clip(array, *clip(array))
    array = (array - array.mean()) / array.std()
    shape = [round(n * s / spacing_mm) for n, s in zip(array.shape, own, strict=True)]
    centres = [(np.arange(m) + 0.5) * n / m - 0.5 for n, m in zip(array.shape, shape, strict=True)]
    grid = np.meshgrid(*centres, indexing="ij")
    return ndimage.map_coordinates(array, grid, order=1, mode="nearest")


class TestModality:
    def test_a_training_case_has_the_modality_of_its_member(self, plans, dataset_json, tmp_path):
        rng = np.random.default_rng(0)
        array = rng.normal(0, 1000, (16, 16, 16)).astype(np.float32)
        image = written_image(tmp_path / "image.nii.gz", array)
        label = written_image(tmp_path / "label.nii.gz", np.ones((16, 16, 16), np.uint8))
        manager = PlansManager(plans)
        arguments = ([image], label, manager, manager.get_configuration("3d_fullres"), dataset_json)
        results = {}
        for case in ("abdomen__a", "brain__x"):
            HermesPreprocessor(verbose=False).run_case_save(str(tmp_path / case), *arguments)
            from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

            results[case] = nnUNetDatasetBlosc2(str(tmp_path), [case]).load_case(case)[0][:]
        z = array.transpose(2, 1, 0)
        for case, (low, high) in {"abdomen__a": (-991, 500), "brain__x": np.percentile(z, (2, 98))}.items():
            clipped = np.clip(z, low, high)
            np.testing.assert_allclose(results[case][0], (clipped - clipped.mean()) / clipped.std(), atol=1e-4)

    def test_a_rule_with_a_mean_of_all_images_takes_the_place_of_the_z_score(self, plans, dataset_json, tmp_path):
        plans["hermes"]["intensity_clipping"]["CT"] = {"range": [-100, 300], "mean": 100, "std": 50}
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("abdomen").to_block()
        array = np.random.default_rng(0).normal(0, 1000, (16, 16, 16)).astype(np.float32)
        voxels = preprocessed(plans, dataset_json, written_image(tmp_path / "image.nii.gz", array))[0]
        np.testing.assert_allclose(voxels[0], (array.transpose(2, 1, 0).clip(-100, 300) - 100) / 50, atol=1e-4)

    def test_a_prediction_has_the_modality_of_the_context(self, plans, dataset_json, tmp_path, monkeypatch):
        array = np.random.default_rng(0).normal(0, 1000, (16, 16, 16)).astype(np.float32)
        image = written_image(tmp_path / "image.nii.gz", array)
        as_unknown = preprocessed(plans, dataset_json, image)[0]
        monkeypatch.setenv("HERMES_MODALITY", "CT")
        as_ct = preprocessed(plans, dataset_json, image)[0]
        assert len(np.unique(as_ct)) < len(np.unique(as_unknown))  # most of this image is outside of [-991, 500] HU
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("abdomen").to_block()
        monkeypatch.delenv("HERMES_MODALITY")
        assert np.array_equal(preprocessed(plans, dataset_json, image)[0], as_ct)


class TestSeveralChannels:
    """A PET/CT: CT in Hounsfield units, PET in Bq/ml."""

    @pytest.fixture
    def images(self):
        rng = np.random.default_rng(0)
        return rng.normal(0, 200, (16, 16, 16)).astype(np.float32), rng.gamma(2, 4000, (16, 16, 16)).astype(np.float32)

    @pytest.fixture
    def voxels_of(self, plans, dataset_json, images, tmp_path):
        """A function that preprocesses the two channels under a rule of CT, as for a training and as to predict."""
        files = [written_image(tmp_path / f"x_000{n}.nii.gz", image) for n, image in enumerate(images)]
        label = written_image(tmp_path / "x.nii.gz", np.ones((16, 16, 16), np.uint8))
        plans["configurations"]["3d_fullres"]["normalization_schemes"] *= 2
        plans["configurations"]["3d_fullres"]["use_mask_for_norm"] *= 2
        plans["foreground_intensity_properties_per_channel"]["1"] = {}
        dataset_json["channel_names"] = {"0": "image_0", "1": "image_1"}

        def preprocess(rule):
            plans["hermes"]["intensity_clipping"]["CT"] = rule
            of_view = {**plans, "hermes": HermesPlans.from_plans(plans).of_member("abdomen").to_block()}
            found = []
            for own in (plans, of_view):
                manager = PlansManager(own)
                preprocessor = HermesPreprocessor(verbose=False)
                if own is plans:
                    preprocessor._training_modality = "CT"
                arguments = (manager, manager.get_configuration("3d_fullres"), dataset_json)
                found.append(preprocessor.run_case(files, label if own is plans else None, *arguments))
            (trained, _, said), (predicted, _, also_said) = found
            assert np.array_equal(trained, predicted)
            assert said.get("remarks") == also_said.get("remarks")
            return trained, said.get("remarks", [])

        return preprocess

    @pytest.mark.parametrize("fixed", [{}, {"mean": 40, "std": 60}])
    @pytest.mark.parametrize("channels", [{}, {"channels": [0]}, {"channels": [1]}, {"channels": [0, 1]}])
    def test_each_has_the_rule_that_is_for_it(self, voxels_of, images, fixed, channels):
        got, _ = voxels_of({"range": [-100, 300], **fixed, **channels})
        for channel, image in enumerate(images):
            is_ct = channel in channels.get("channels", [0, 1])
            expected = image.transpose(2, 1, 0).clip(*((-100, 300) if is_ct else np.percentile(image, (2, 98))))
            mean, std = (40, 60) if is_ct and fixed else (expected.mean(), expected.std())
            np.testing.assert_allclose(got[channel], (expected - mean) / std, atol=1e-3)

    @pytest.mark.parametrize(
        ("channels", "is_said"), [({}, True), ({"channels": [0]}, False), ({"channels": [1]}, True)]
    )
    def test_only_a_ct_needs_hounsfield_units(self, voxels_of, channels, is_said):
        assert voxels_of({"range": [-100, 300], **channels})[1] == [NOT_HOUNSFIELD] * is_said


class TestHounsfieldUnits:
    @pytest.mark.parametrize(
        ("member", "lowest", "is_told"), [("abdomen", 0, True), ("abdomen", -1, False), ("brain", 0, False)]
    )
    def test_a_ct_without_them_is_told(self, plans, dataset_json, tmp_path, member, lowest, is_told):
        plans["hermes"] = HermesPlans.from_plans(plans).of_member(member).to_block()
        array = np.random.default_rng(0).integers(0, 1500, (9, 9, 9)).astype(np.int16)
        array[0, 0, 0] = lowest
        properties = preprocessed(plans, dataset_json, written_image(tmp_path / "image.nii.gz", array))[2]
        assert properties["remarks"] == [NOT_HOUNSFIELD] * is_told

    def test_a_ct_that_its_owner_has_normalised_is_told(self, plans, dataset_json, tmp_path):
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("abdomen").to_block()
        array = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
        properties = preprocessed(plans, dataset_json, written_image(tmp_path / "image.nii.gz", array))[2]
        assert properties["remarks"] == [NOT_HOUNSFIELD]

    def test_of_a_prediction_are_told_on_the_screen_by_nnunets_command(self, plans, dataset_json, tmp_path, capsys):
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("abdomen").to_block()
        array = np.ones((9, 9, 9), np.float32)
        array[0] = -1e30
        image = written_image(tmp_path / "image.nii.gz", array)
        preprocessed(plans, dataset_json, image)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning:")]
        assert lines == [f"warning: {image}: {remark}" for remark in (PADDING, NOT_HOUNSFIELD)]

    def test_of_training_are_told_on_the_screen(self, plans, dataset_json, tmp_path, capsys):
        image = written_image(tmp_path / "image.nii.gz", np.ones((9, 9, 9), np.int16))
        label = written_image(tmp_path / "label.nii.gz", np.ones((9, 9, 9), np.uint8))
        manager = PlansManager(plans)
        arguments = ([image], label, manager, manager.get_configuration("3d_fullres"), dataset_json)
        for case in ("abdomen__a", "brain__x"):
            HermesPreprocessor(verbose=False).run_case_save(str(tmp_path / case), *arguments)
        assert capsys.readouterr().out.count(f"warning: {image}: {NOT_HOUNSFIELD}") == 1


class TestOrientation:
    def test_lpi_and_ras_inputs_give_the_same_voxels(self, plans, dataset_json, tmp_path):
        array = np.random.default_rng(0).normal(size=(12, 10, 8)).astype(np.float32)
        ras = written_image(tmp_path / "ras.nii.gz", array)
        lpi = written_image(tmp_path / "lpi.nii.gz", array[::-1, ::-1, ::-1].copy(), signs=(-1, -1, -1))
        first, second = (preprocessed(plans, dataset_json, image)[0] for image in (ras, lpi))
        assert np.array_equal(first, second)


class TestRealImages:
    @pytest.mark.parametrize(
        ("file", "member", "clip"),
        [
            ("Dataset301_HeadNeckCord/imagesTr/hn_001_0000.nii.gz", "abdomen", lambda a: (-991, 500)),
            ("Dataset304_LeftAtriumLGE/imagesTr/la_000_0000.nii.gz", "brain", lambda a: np.percentile(a, (2, 98))),
        ],
    )
    def test_equal_an_independent_computation(self, shared_data, plans, dataset_json, file, member, clip):
        plans["hermes"] = HermesPlans.from_plans(plans).of_member(member).to_block()
        image = str(shared_data / "raw" / file)
        got = preprocessed(plans, dataset_json, image)[0][0]
        expected = expected_voxels(image, 1.5, clip)
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() < 1e-3


class TestChannels:
    @pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".NII.GZ", ".nrrd", ".mha"])
    def test_the_channel_of_the_context_is_taken(self, ending, plans):
        files = [f"/in/p1.5_0000{ending}", f"/in/p1.5_0001{ending}"]
        brain = HermesPlans.from_plans(plans).of_member("brain")
        assert context_channel(files, brain) == files[1:]
        assert context_channel(files[:1], brain) == files[:1]

    def test_all_channels_are_taken_where_the_member_has_those_of_the_model(self, plans):
        files = ["/in/p1_0000.nii.gz", "/in/p1_0001.nii.gz"]
        assert context_channel(files, HermesPlans.from_plans(plans).of_member("abdomen")) == files

    def test_a_missing_channel_is_named(self, plans):
        brain = HermesPlans.from_plans(plans).of_member("brain")
        with pytest.raises(HermesError, match=r"p1_0000\.nii\.gz: modality T1 is channel 1 .* _0001"):
            context_channel(["/in/p1_0000.nii.gz", "/in/p1_0002.nii.gz"], brain)


class TestSavedCases:
    @pytest.fixture
    def save(self, plans, dataset_json, tmp_path):
        """A function that preprocesses a training case into the folder `cases`, which it returns."""
        (tmp_path / "cases").mkdir()
        image = written_image(tmp_path / "image.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
        label = written_image(tmp_path / "label.nii.gz", np.ones((9, 9, 9), np.uint8))
        manager = PlansManager(plans)

        def act():
            HermesPreprocessor(verbose=False).run_case_save(
                str(tmp_path / "cases" / "brain__x"),
                [image], label, manager, manager.get_configuration("3d_fullres"), dataset_json,
            )  # fmt: skip

        return tmp_path / "cases", act

    def test_leave_nothing_beside(self, save):
        folder, act = save
        act()
        assert sorted(os.listdir(folder)) == ["brain__x.b2nd", "brain__x.pkl", "brain__x_seg.b2nd"]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (RuntimeError("Error while creating the NDArray"), errno.EIO),
            (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        ],
    )
    def test_that_cannot_be_written_are_named_and_leave_nothing(self, save, monkeypatch, error, code):
        folder, act = save

        def fail(*_, urlpath, **__):
            Path(urlpath).write_bytes(b"half")
            raise error

        monkeypatch.setattr(
            "nnunetv2.training.dataloading.nnunet_dataset.nnUNetDatasetBlosc2._select_filter",
            lambda *_: blosc2.Filter.NOFILTER,
        )
        monkeypatch.setattr("blosc2.asarray", fail)
        with pytest.raises(OSError, match=rf"{os.strerror(code)}: '{folder}/brain__x\.b2nd'"):
            act()
        assert os.listdir(folder) == []


def test_plans_without_the_hermes_block_are_refused(plans, dataset_json, tmp_path):
    image = written_image(tmp_path / "image.nii.gz", np.zeros((4, 4, 4), np.float32))
    del plans["hermes"]
    with pytest.raises(HermesError, match="no 'hermes' block"):
        preprocessed(json.loads(json.dumps(plans)), dataset_json, image)


def test_a_data_set_is_not_preprocessed_by_functions_that_nobody_knows(plans, tmp_path, monkeypatch):
    for name in ("raw", "preprocessed"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path))
    plans["configurations"]["3d_fullres"]["resampling_fn_data"] = "system"
    (tmp_path / "Dataset900_Both").mkdir()
    (tmp_path / "Dataset900_Both" / "HermesPlans.json").write_text(json.dumps(plans))
    with pytest.raises(HermesError, match=r"HermesPlans\.json, '3d_fullres': resampling_fn_data is 'system'"):
        HermesPreprocessor(verbose=False).run("Dataset900_Both", "3d_fullres", "HermesPlans", 1)


class TestCollection:
    @pytest.fixture
    def folders(self, plans, dataset_json, tmp_path, monkeypatch):
        """Folder of the collection in nnUNet_raw and in nnUNet_preprocessed, as the planner leaves them."""
        made = []
        for name in ("raw", "preprocessed"):
            monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
            made.append(tmp_path / name / "Dataset900_Both")
            made[-1].mkdir(parents=True)
            (made[-1] / "dataset.json").write_text(json.dumps(dataset_json))
        (made[1] / "HermesPlans.json").write_text(json.dumps(plans))
        return made

    def test_merged_again_since_it_was_planned_is_refused(self, folders, dataset_json):
        dataset_json["hermes"]["tasks"][0]["values"] = [7]
        (folders[0] / "dataset.json").write_text(json.dumps(dataset_json))
        with pytest.raises(HermesError, match="was merged again after it was planned"):
            HermesPreprocessor(verbose=False).run("Dataset900_Both", "3d_fullres", "HermesPlans", 1)

    def test_whose_merge_was_cut_short_is_refused(self, folders):
        record = {"format_version": 1, "specification": {"members": []}, "values": {}, "cases": {}, "complete": False}
        (folders[0] / "hermes_merge.json").write_text(json.dumps(record))
        with pytest.raises(HermesError, match="run the merge again"):
            HermesPreprocessor(verbose=False).run("Dataset900_Both", "3d_fullres", "HermesPlans", 1)

    @pytest.fixture
    def record(self, folders, dataset_json, monkeypatch):
        """The record of an earlier preprocessing, of a collection that has its images."""
        image = written_image(folders[0] / "image.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9)))
        label = written_image(folders[0] / "label.nii.gz", np.ones((9, 9, 9), np.uint8))
        files = {"images": [image], "label": label}
        for folder in folders:
            content = {**dataset_json, "dataset": dict.fromkeys(dataset_json["hermes"]["cases"], files)}
            (folder / "dataset.json").write_text(json.dumps(content))
        path = folders[1] / "HermesPlans_3d_fullres_preprocessed.json"
        path.write_text("{}")
        return path

    def test_a_record_says_what_the_cases_were_made_for(self, record, plans, dataset_json):
        HermesPreprocessor(verbose=False).run("Dataset900_Both", "3d_fullres", "HermesPlans", 1)
        content = json.loads(record.read_text())
        assert content["tasks"] == {task["name"]: list(task["values"]) for task in dataset_json["hermes"]["tasks"]}
        assert content["spacing"] == [1.5, 1.5, 1.5]
        assert content["intensity_clipping"] == plans["hermes"]["intensity_clipping"]

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (OSError(errno.ENOSPC, "No space left on device", "/x/a.b2nd"), "/x/a.b2nd cannot be written, since its d"),
            (HermesError("/x/a.nii.gz is damaged"), r"(?s)5 of 5 cases cannot .*\n  brain__x .*: /x/a.nii.gz is"),
            (MemoryError(), r"image.nii.gz: memory ran out: give it fewer processes \(-np\)"),
        ],
    )
    def test_that_cannot_be_preprocessed_is_one_line_and_has_no_record(self, record, monkeypatch, error, line):
        def fail(*_):
            raise error

        monkeypatch.setattr(HermesPreprocessor, "run_case_save", fail)
        with pytest.raises(CommandEndedError, match=line):
            HermesPreprocessor(verbose=False).run("Dataset900_Both", "3d_fullres", "HermesPlans", 1)
        assert not record.exists()


def test_a_collection_of_which_other_labels_are_said_to_be_annotated_is_refused(
    plans, dataset_json, tmp_path, monkeypatch
):
    for variable, annotated in (("raw", ["brain/core"]), ("preprocessed", ["brain/whole"])):
        folder = tmp_path / variable / "Dataset900_Both"
        folder.mkdir(parents=True)
        monkeypatch.setenv(f"nnUNet_{variable}", str(folder.parent))
        dataset_json["hermes"]["cases"]["brain__x"]["annotated"] = annotated
        (folder / "dataset.json").write_text(json.dumps(dataset_json))
    (folder / "HermesPlans.json").write_text(json.dumps(plans))
    with pytest.raises(HermesError, match="brain__x annotate other labels now"):
        HermesPreprocessor(verbose=False).run(900, "3d_fullres", "HermesPlans", 1)
