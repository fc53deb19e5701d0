"""HermesModel and Segmentation."""

import json
import subprocess
import sys
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.errors import HermesError


@pytest.fixture
def loaded(model):
    return HermesModel.load(model, device="cpu")


@pytest.fixture
def oblique(images):
    return images / "b_0000.nii.gz"


class TestModel:
    def test_knows_its_members_tasks_and_modalities(self, loaded):
        assert list(loaded.members) == ["abdomen", "brain"]
        assert loaded.members["brain"].modalities == ("T1",)
        assert loaded.tasks == ("abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core")
        assert loaded.modalities == ("CT", "T1", "unknown")

    def test_is_found_by_its_data_set(self, model):
        assert HermesModel.load(900, folds=[0], device="cpu").tasks == HermesModel.load(model, device="cpu").tasks

    def test_gives_what_the_command_gives_again_and_again(self, loaded, model, images, tmp_path):
        options = ["-o", str(tmp_path / "out"), "-m", str(model), "--device", "cpu"]
        assert main(["predict", "-i", str(images), *options, "--tasks", "core,liver", "--modality", "CT"]) == 0
        for case in ("a", "b", "a"):
            with pytest.warns(UserWarning, match=r"no CT was among the training images of brain \(T1\)"):
                segmentation = loaded.predict(images / f"{case}_0000.nii.gz", tasks=["core", "liver"], modality="CT")
            written = nibabel.load(tmp_path / "out" / f"{case}.nii.gz")
            np.testing.assert_array_equal(segmentation.array, np.asarray(written.dataobj))
            np.testing.assert_allclose(segmentation.affine, written.affine)

    def test_a_context_does_not_stay_for_the_next_image(self, loaded, oblique):
        first = loaded.predict(oblique, members=["abdomen"])
        loaded.predict(oblique, members=["brain"])
        np.testing.assert_array_equal(loaded.predict(oblique, members=["abdomen"]).array, first.array)

    def test_everything_is_what_was_learned_in_the_modality_unless_all_is_wanted(self, loaded, oblique):
        with pytest.warns(UserWarning, match="left out, since no CT was among their training images: brain/whole"):
            segmentation = loaded.predict(oblique, everything=True, modality="CT")
        assert segmentation.names == {1: "abdomen/liver", 2: "abdomen/spleen"}
        with pytest.warns(UserWarning, match=r"no CT was among the training images of brain \(T1\): check"):
            segmentation = loaded.predict(oblique, everything=True, all_modalities=True, modality="CT")
        assert list(segmentation.statistics()) == ["abdomen/liver", "abdomen/spleen", "brain/whole", "brain/core"]

    def test_a_guessed_modality_is_a_warning(self, loaded, oblique):
        with pytest.warns(UserWarning, match="the images are taken for CT"):
            loaded.predict(oblique, tasks=["liver"])


class TestKindsOfImages:
    def test_a_nibabel_and_a_simpleitk_image_are_the_file(self, loaded, oblique):
        expected = loaded.predict(oblique, members=["abdomen"])
        assert np.unique(expected.array).tolist() == [0, 1, 2]
        for image in (nibabel.load(oblique), SimpleITK.ReadImage(str(oblique))):
            segmentation = loaded.predict(image, members=["abdomen"])
            np.testing.assert_array_equal(segmentation.array, expected.array)
            np.testing.assert_allclose(segmentation.affine, expected.affine, atol=1e-4)

    def test_an_array_comes_with_its_spacing(self, loaded, images):
        image = nibabel.load(images / "a_0000.nii.gz")  # its axes run to the right, the front and the head
        voxels = image.get_fdata(dtype=np.float32)
        segmentation = loaded.predict((voxels, (2.0, 2.0, 2.0)), members=["abdomen"])
        assert segmentation.spacing == (2.0, 2.0, 2.0)
        np.testing.assert_array_equal(segmentation.array, loaded.predict(image, members=["abdomen"]).array)

    def test_a_list_is_the_channels_of_a_case(self, loaded, images):
        path = images / "a_0000.nii.gz"
        voxels = nibabel.load(path).get_fdata(dtype=np.float32)
        spacing = (2.0, 2.0, 2.0)
        channels = loaded.predict([(np.zeros_like(voxels), spacing), (voxels, spacing)], members=["brain"])
        np.testing.assert_array_equal(channels.array, loaded.predict(path, members=["brain"]).array)

    @pytest.mark.parametrize(
        "names", [("scan_0001", "scan_0002"), ("flair", "t1"), ("x_0001", "x_0000"), ("image_0000", "image_0001")]
    )
    def test_the_order_of_paths_decides_whatever_their_names(self, loaded, images, names):
        t1 = images / "a_0000.nii.gz"
        paths = [images / f"{name}.nii.gz" for name in names]
        image = nibabel.load(t1)
        noise = np.random.default_rng(5).normal(size=image.shape).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(noise, image.affine), paths[0])
        paths[1].write_bytes(t1.read_bytes())
        expected = loaded.predict(t1, members=["brain"])
        found = loaded.predict(paths, members=["brain"])
        assert len(np.unique(expected.array)) > 1
        np.testing.assert_array_equal(found.array, expected.array)
        np.testing.assert_array_equal(found.image.get_fdata(), image.get_fdata())

    @pytest.mark.parametrize(
        ("image", "says"),
        [
            (3, "an image cannot be a int"),
            ((np.zeros((4, 4, 4)), 2.0), "the spacing of an array is 2.0: give three distances"),
            ((np.zeros((4, 4)), (1, 1, 1)), "the image has 2 dimensions"),
            (SimpleITK.Image(4, 4, SimpleITK.sitkFloat32), "the image has 2 dimensions"),
            ("nowhere.nii.gz", "nowhere.nii.gz does not exist"),
        ],
    )
    def test_what_is_no_image_is_refused(self, loaded, image, says):
        with pytest.raises(HermesError, match=says):
            loaded.predict(image, members=["abdomen"])

    def test_what_lies_beside_an_image_and_is_not_used_is_a_warning(self, loaded, images):
        (images / "b_0000.nii.gz").rename(images / "b.seg.nrrd")
        (images / "1.dcm").touch()
        with pytest.warns(UserWarning, match="not used, since") as said:
            loaded.predict(images, members=["abdomen"])
        named = [str(one.message).rpartition(": ")[2] for one in said]
        assert named == [f"1.dcm in {images}", f"b.seg.nrrd in {images}"]

    def test_a_folder_of_several_cases_is_refused(self, loaded, images):
        with pytest.raises(HermesError, match="holds 2 cases: give one"):
            loaded.predict(images, members=["abdomen"])


class TestSegmentation:
    @pytest.fixture
    def segmentation(self, loaded, oblique):
        return loaded.predict(oblique, members=["brain"])

    def test_lies_on_the_voxels_of_the_image(self, segmentation, oblique):
        image = nibabel.load(oblique)
        assert segmentation.array.shape == image.shape
        np.testing.assert_allclose(segmentation.affine, image.affine, atol=1e-5)
        assert segmentation.spacing == pytest.approx((2.0, 2.0, 2.5), rel=1e-3)

    def test_names_its_values(self, segmentation):
        assert segmentation.names == {1: "brain/whole", 2: "brain/core"}

    def test_a_region_includes_what_lies_within_it(self, segmentation):
        np.testing.assert_array_equal(segmentation.mask("core"), segmentation.array == 2)
        np.testing.assert_array_equal(segmentation.mask("whole"), segmentation.array > 0)
        with pytest.raises(HermesError, match="no task 'liver'"):
            segmentation.mask("liver")

    def test_statistics_count_its_voxels(self, segmentation):
        measured = segmentation.statistics()["brain/core"]
        image = segmentation.image.get_fdata()
        assert measured["volume_ml"] == pytest.approx((segmentation.array == 2).sum() * 0.01, rel=1e-3)
        assert measured["mean_intensity"] == pytest.approx(image[segmentation.array == 2].mean(), rel=1e-5)

    def test_is_written_as_nifti(self, segmentation, tmp_path):
        segmentation.to_nifti(tmp_path / "out.nii.gz")
        written = nibabel.load(tmp_path / "out.nii.gz")
        np.testing.assert_array_equal(np.asarray(written.dataobj), segmentation.array)
        np.testing.assert_allclose(written.affine, segmentation.affine, atol=1e-6)

    def test_is_drawn(self, segmentation, tmp_path):
        figure = segmentation.plot(tmp_path / "out.png")
        assert len(figure.axes) == 4
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


class TestChannelsOfPasses:
    @pytest.fixture
    def collection(self, collection):
        """The same, its CTs with a T1 beside them."""
        abdomen = replace(collection.members["abdomen"], channels={"CT": 0}, channel_names={"0": "CT", "1": "T1"})
        return replace(collection, members={**collection.members, "abdomen": abdomen})

    def test_are_what_intensities_are_measured_in(self, loaded, model, tmp_path):
        """The second channel is stored on other axes than the first."""
        folder = tmp_path / "in"
        folder.mkdir()
        rng = np.random.default_rng(7)
        ct, t1 = (rng.normal(size=(18, 20, 22)).cumsum(0).astype(np.float32) * 20 + mean for mean in (-500, 5000))
        affine = np.diag([2.0, 2, 2, 1])
        turned = np.array([[-2.0, 0, 0, 34], [0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 0, 1]])
        nibabel.save(nibabel.Nifti1Image(ct, affine), folder / "a_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(t1[::-1].swapaxes(1, 2), turned), folder / "a_0001.nii.gz")
        tasks = ["liver", "spleen", "whole", "core"]
        call = ["predict", "-i", str(folder), "-o", str(tmp_path / "out"), "-m", str(model), "--device", "cpu"]
        assert main([*call, "--statistics", "--tasks", *tasks]) == 0
        written = json.loads((tmp_path / "out" / "statistics.json").read_text())["cases"]["a"]
        with pytest.warns(UserWarning, match="the images are taken for"):
            segmentation = loaded.predict(folder, tasks=tasks)
        measured = segmentation.statistics()
        assert list(measured) == [label.name for label in segmentation.labels]
        assert {task: pytest.approx(own) for task, own in written.items()} == measured
        means = [measured[task]["mean_intensity"] for task in ("abdomen/liver", "brain/whole")]
        assert means[0] < 2000 < means[1]


class TestImport:
    def test_of_the_package_does_not_load_torch(self):
        code = "import sys, hermes_nnunet; print('torch' in sys.modules, 'numpy' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.split() == ["False", "False"]

    def test_of_a_name_that_is_not_there_is_an_error(self):
        import hermes_nnunet

        with pytest.raises(AttributeError, match="no attribute 'HermesModle'"):
            _ = hermes_nnunet.HermesModle
