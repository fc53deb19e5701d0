"""Images as people's archives hold them, segmented by the command, in Python, and by nnU-Net with a view."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK

from hermes_nnunet import HermesModel
from hermes_nnunet.cli.main import main
from hermes_nnunet.core.images.remarks import NO_CODES, NO_SPACE, PADDING, QFORM
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.views.write import write_views

SHAPE = (14, 12, 10)
TWO_MM = np.diag([2.0, 2, 2, 1])
LPS = np.array([[-2.0, 0, 0, 26], [0, -2.0, 0, 22], [0, 0, 2.0, 0], [0, 0, 0, 1]])


def smooth(seed=0, shape=SHAPE):
    """An image in which no direction is like another."""
    voxels = np.random.default_rng(seed).normal(size=shape).cumsum(0).cumsum(1).astype(np.float32) * 20
    voxels[4:9, 3:8, 2:7] += 200
    return voxels


@pytest.fixture
def loaded(model):
    return HermesModel.load(model, folds=[0], device="cpu")


@pytest.fixture
def predict(model, tmp_path):
    """A function that runs the command for member abdomen and returns its exit code; results go to `out`."""

    def run(source, *options, asked=model):
        call = ["predict", "-i", str(source), "-o", str(tmp_path / "out"), "-m", str(asked), "-f", "0"]
        return main([*call, "--device", "cpu", "--member", "abdomen", *options])

    return run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def refused(predict, out, capsys):
    """A function that runs a prediction that must be refused before any work; returns what its error says."""

    def run(source, *options):
        assert predict(source, *options) == 1
        _, error = capsys.readouterr().err.split("hermes_nnunet: error: ")
        assert not out.exists()
        return error

    return run


class TestTwoSpacings:
    def test_volumes_are_those_of_the_qform(self, loaded, predict, out, folder, write_nifti, capsys):
        qform = np.diag([-1.3158, -1.3158, 10.0, 1])
        path = write_nifti(folder / "a.nii.gz", smooth(), np.diag([-1.0, -1, 1, 1]), sform=1, qform=qform)
        assert predict(path, "--statistics") == 0
        assert f"{QFORM} (1 file): {path}" in capsys.readouterr().err
        with pytest.warns(UserWarning, match="taken from the qform"):
            segmentation = loaded.predict(path, members=["abdomen"])
        written = nibabel.load(out / "a.nii.gz")
        np.testing.assert_array_equal(segmentation.array, np.asarray(written.dataobj))
        in_file = json.loads((out / "statistics.json").read_text())["cases"]["a"]
        for name, value in (("spleen", 1), ("liver", 2)):
            count = int((segmentation.array == value).sum())
            assert count > 0
            ml = pytest.approx(count * 1.3158**2 * 10 / 1000, rel=1e-5)
            assert in_file[f"abdomen/{name}"]["volume_ml"] == ml
            assert segmentation.statistics()[f"abdomen/{name}"]["volume_ml"] == ml
            assert count * abs(np.linalg.det(written.affine)) / 1000 == ml

    def test_without_a_judge_are_refused(self, loaded, refused, folder, write_nifti):
        for name, affine in (("a", TWO_MM), ("b", LPS)):
            write_nifti(folder / f"{name}.nii.gz", smooth(), affine, zooms=(1, 1, 1))
        assert "a.nii.gz says two spacings: 2 x 2 x 2 mm by its affine (sform), 1 x 1 x 1 mm" in refused(folder)
        for image in (folder / "b.nii.gz", nibabel.load(folder / "b.nii.gz")):
            with pytest.raises(HermesError, match="says two spacings: 2 x 2 x 2 mm"):
                loaded.predict(image, members=["abdomen"])

    @pytest.mark.parametrize(("choice", "edge"), [("affine", 2), ("header", 1)])
    def test_are_decided_by_people(self, loaded, predict, out, folder, write_nifti, choice, edge):
        twin = write_nifti(folder.parent / "twin.nii.gz", smooth(), np.diag([edge, edge, edge, 1]))
        expected = loaded.predict(twin, members=["abdomen"])
        for name, voxels, affine in (("a", smooth(), TWO_MM), ("b", smooth()[::-1, ::-1], LPS)):
            write_nifti(folder / f"{name}.nii.gz", voxels, affine, zooms=(1, 1, 1))
        assert predict(folder, "--spacing-from", choice, "--statistics") == 0
        in_file = json.loads((out / "statistics.json").read_text())["cases"]
        for name, flip in (("a", 1), ("b", -1)):
            written = nibabel.load(out / f"{name}.nii.gz")
            np.testing.assert_array_equal(np.asarray(written.dataobj)[::flip, ::flip], expected.array)
            assert written.header.get_zooms() == (edge,) * 3
            assert np.linalg.norm(written.affine[:3, :3], axis=0).tolist() == [edge] * 3
            image = folder / f"{name}.nii.gz"
            for given in (image, nibabel.load(image)):
                own = loaded.predict(given, members=["abdomen"], spacing_from=choice)
                np.testing.assert_array_equal(own.array, np.asarray(written.dataobj))
                assert own.spacing == (edge,) * 3
            ml = (expected.array == 1).sum() * edge**3 / 1000
            assert in_file[name]["abdomen/spleen"]["volume_ml"] == pytest.approx(ml)
            assert own.statistics()["abdomen/spleen"]["volume_ml"] == pytest.approx(ml)


class TestEndings:
    def test_of_every_kind_are_predicted_and_others_named(self, predict, out, folder, write_nifti, capsys):
        (folder / "notes.txt").touch()
        for name in ("a.nii.gz", "b.nii", "c.NII.GZ", "d.nii.GZ"):
            write_nifti(folder / name, smooth(), TWO_MM)
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(folder / "b.nii")), str(folder / "e.nrrd"))
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(folder / "b.nii")), str(folder / "f.mha"))
        assert predict(folder) == 0
        said = f"warning: not used, since no images of a known format: notes.txt in {folder}"
        assert said in capsys.readouterr().err
        first = np.asarray(nibabel.load(out / "a.nii.gz").dataobj)
        assert sorted(path.name for path in out.glob("*.nii.gz")) == [f"{name}.nii.gz" for name in "abcdef"]
        for name in "bcdef":
            result = nibabel.load(out / f"{name}.nii.gz")
            same = nibabel.as_closest_canonical(result)
            np.testing.assert_array_equal(np.asarray(same.dataobj), first)
            np.testing.assert_allclose(same.affine, TWO_MM, atol=1e-6)

    @pytest.mark.parametrize("ending", [".nrrd", ".mha"])
    def test_of_a_view_are_the_members(
        self, results, model, predict, out, folder, stock_predict, ending, write_nifti, tmp_path
    ):
        for name in ("plans.json", "dataset.json"):
            content = json.loads((model / name).read_text())
            content["hermes"]["members"]["abdomen"]["file_ending"] = ending
            if name == "plans.json":
                content["image_reader_writer"] = "HermesImageIO"
            (model / name).write_text(json.dumps(content))
        write_views(model, results, [0])
        view = results / "Dataset011_abdomen" / model.name
        nifti = write_nifti(tmp_path / "a.nii", smooth()[::-1], LPS @ np.diag([-1.0, 1, 1, 1]))
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(nifti)), str(folder / f"a_0000{ending}"))
        stock_predict(view, folder, tmp_path / "stock")
        assert predict(folder, asked=view) == 0
        (out / f"a{ending}").rename(tmp_path / f"a{ending}")
        assert predict(nifti, "--overwrite") == 0
        expected = SimpleITK.ReadImage(str(out / "a.nii.gz"))
        labels = SimpleITK.GetArrayFromImage(expected)
        assert len(np.unique(labels)) > 1
        for result in (tmp_path / f"a{ending}", tmp_path / "stock" / f"a{ending}"):
            image = SimpleITK.ReadImage(str(result))
            np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), labels)
            np.testing.assert_allclose(image.GetDirection(), expected.GetDirection(), atol=1e-6)
            np.testing.assert_allclose(image.GetOrigin(), expected.GetOrigin(), atol=1e-5)
            assert image.GetSpacing() == expected.GetSpacing()

    def test_without_directions_are_said_and_without_spacing_refused(self, loaded, predict, refused, folder, capsys):
        image = SimpleITK.GetImageFromArray(smooth().T)
        SimpleITK.WriteImage(image, str(folder / "a.mha"), useCompression=False)
        whole = (folder / "a.mha").read_bytes()
        (folder / "a.mha").write_bytes(whole.replace(b"ElementSpacing = 1 1 1\n", b""))
        assert "a.mha does not say how far its voxels are apart" in refused(folder)
        for given in (folder / "a.mha", folder):
            with pytest.raises(HermesError, match="does not say how far its voxels are apart"):
                loaded.predict(given, members=["abdomen"])
        (folder / "a.mha").write_bytes(whole.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1\n", b""))
        assert predict(folder) == 0
        assert f"{NO_SPACE} (1 file): {folder / 'a.mha'}" in capsys.readouterr().err
        with pytest.warns(UserWarning, match="the header names no directions in the patient"):
            loaded.predict(folder / "a.mha", members=["abdomen"])


class TestChannels:
    def save(self, folder, write_nifti, *names):
        for name, affine in names:
            write_nifti(folder / f"{name}.nii.gz", smooth(), affine)

    def test_apart_are_refused(self, loaded, refused, folder, write_nifti):
        self.save(folder, write_nifti, ("a_0000", TWO_MM), ("a_0001", TWO_MM + 40 * np.eye(4, k=3)))
        assert "a_0000.nii.gz differ by 40 mm" in refused(folder)
        paths = [folder / "a_0000.nii.gz", folder / "a_0001.nii.gz"]
        for channels in (paths, [nibabel.load(path) for path in paths]):
            with pytest.raises(HermesError, match="differ by 40 mm"):
                loaded.predict(channels, members=["brain"])

    def test_with_a_gap_are_refused(self, refused, folder, write_nifti):
        self.save(folder, write_nifti, ("a_0000", TWO_MM), ("a_0002", TWO_MM))
        assert "the channels 0000, 0002 of one case 'a', but channels are 0000 to 0001" in refused(folder)

    def test_that_are_two_patients_are_refused(self, refused, folder, write_nifti):
        self.save(folder, write_nifti, ("patient_0011", TWO_MM), ("patient_0012", TWO_MM))
        line = refused(folder)
        assert "the last four digits of patient_0011 and patient_0012 are taken for the channels 0011, 0012" in line

    def test_digits_that_are_taken_for_a_channel_are_said(self, predict, folder, write_nifti, capsys):
        self.save(folder, write_nifti, ("patient_0011", TWO_MM))
        assert predict(folder) == 0
        said = "the 0011 of patient_0011.nii.gz is taken for its channel: the case is called patient"
        assert said in capsys.readouterr().err


class TestCodes:
    @pytest.mark.parametrize(("sform", "qform"), [(0, 0), (1, 0), (0, 1), (2, 1)])
    def test_are_the_images_own(self, loaded, predict, out, folder, write_nifti, sform, qform, capsys):
        path = write_nifti(folder / "a.nii.gz", smooth(), LPS, sform=sform, qform=LPS, qform_code=qform)
        assert predict(path) == 0
        assert (NO_CODES in capsys.readouterr().err) == (sform == qform == 0)
        if sform == qform == 0:
            with pytest.warns(UserWarning, match="neither sform nor qform has a code"):
                segmentation = loaded.predict(path, members=["abdomen"])
        else:
            segmentation = loaded.predict(path, members=["abdomen"])
        segmentation.to_nifti(out / "of_python.nii.gz")
        image, image_itk = nibabel.load(path), SimpleITK.ReadImage(str(path))
        for name in ("a", "of_python"):
            result = nibabel.load(out / f"{name}.nii.gz")
            assert (int(result.header["sform_code"]), int(result.header["qform_code"])) == (sform, qform)
            np.testing.assert_array_equal(result.affine, image.affine)
            assert result.header.get_zooms() == image.header.get_zooms()
            in_itk = SimpleITK.ReadImage(str(out / f"{name}.nii.gz"))
            assert in_itk.GetOrigin() == image_itk.GetOrigin()
            assert in_itk.GetDirection() == image_itk.GetDirection()


class TestVoxels:
    @pytest.mark.parametrize("value", [-1e30, float(np.finfo(np.float32).min)])
    def test_outside_of_the_image_does_not_hide_the_inside(
        self, loaded, predict, out, folder, write_nifti, value, capsys
    ):
        voxels = smooth()
        voxels[:3] = voxels.min()
        expected = loaded.predict((voxels, (2, 2, 2)), members=["brain"])
        assert len(np.unique(expected.array)) > 1
        padded = voxels.copy()
        padded[:3] = value
        path = write_nifti(folder / "a.nii.gz", padded, TWO_MM)
        for given in (path, (padded, (2, 2, 2))):
            with pytest.warns(UserWarning, match="taken for the outside"):
                found = loaded.predict(given, members=["brain"])
            np.testing.assert_array_equal(found.array, expected.array)
            assert found.statistics() == expected.statistics()
        assert predict(path) == 0
        assert f"{PADDING} (1 file): {path}" in capsys.readouterr().err

    @pytest.mark.parametrize(("axis", "thickness"), [(0, 0.5), (1, 0.4), (2, 0.5)])
    def test_of_one_thin_slice_are_segmented(self, loaded, write_nifti, folder, axis, thickness):
        shape, edges = list(SHAPE), [2.0, 2.0, 2.0, 1.0]
        shape[axis], edges[axis] = 1, thickness
        path = write_nifti(folder / "a.nii.gz", smooth(shape=shape), np.diag(edges))
        segmentation = loaded.predict(path, members=["abdomen"])
        assert segmentation.array.shape == tuple(shape)
        assert np.isin(segmentation.array, (0, 1, 2)).all()
        assert np.prod(segmentation.spacing) == pytest.approx(4 * thickness)

    def test_of_a_file_of_any_type_are_segmented(self, predict, out, folder, write_nifti):
        voxels = np.rint(smooth())
        for dtype in (np.int16, np.int64, np.float64, np.int32):
            write_nifti(folder / f"{np.dtype(dtype).name}.nii.gz", voxels.astype(dtype), TWO_MM)
        write_nifti(folder / "sloped.nii.gz", (2 * voxels).astype(np.int16), TWO_MM, slope=0.5)
        assert predict(folder, "--preview", "--statistics") == 0
        results = {path.name: np.asarray(nibabel.load(path).dataobj) for path in out.glob("*.nii.gz")}
        assert len(results) == 5
        for result in results.values():
            np.testing.assert_array_equal(result, results["int16.nii.gz"])

    def test_singular_sform_is_refused(self, refused, folder, write_nifti):
        path = write_nifti(folder / "a.nii.gz", smooth(), np.diag([2.0, 2, 0, 1]), zooms=(2, 2, 2))
        assert f"{path} does not say where its voxels lie" in refused(folder)


class TestMemory:
    @pytest.mark.parametrize(
        "dtype", [bool, np.uint8, np.int64, np.uint64, np.float16, np.longdouble, np.float32, ">i2"]
    )
    def test_arrays_of_every_type_of_numbers_are_segmented(self, loaded, dtype):
        voxels = (smooth() > 100).astype(dtype)
        expected = loaded.predict((voxels.astype(np.float32), (2, 2, 2)), members=["abdomen"])
        for image in ((voxels, (2, 2, 2)), (voxels[..., None], [2.0, 2.0, 2.0])):
            found = loaded.predict(image, members=["abdomen"])
            np.testing.assert_array_equal(found.array, expected.array)
            assert found.image.get_data_dtype() == np.float32

    def test_images_of_nibabel_and_simpleitk_of_64_bits_are_segmented(self, loaded):
        voxels = np.rint(smooth() - smooth().min()).astype(np.int64)
        expected = loaded.predict((voxels, (2, 2, 2)), members=["abdomen"]).array
        itk = SimpleITK.GetImageFromArray(voxels[::-1, ::-1].transpose(2, 1, 0).copy())
        itk.SetSpacing((2, 2, 2))
        for image in (
            nibabel.Nifti1Image(voxels, TWO_MM, dtype=np.int64),
            nibabel.Nifti2Image(voxels.astype(np.uint64), TWO_MM, dtype=np.uint64),
            nibabel.MGHImage(voxels.astype(np.int32), TWO_MM),
            itk,
        ):
            found = nibabel.as_closest_canonical(loaded.predict(image, members=["abdomen"]).to_nifti())
            np.testing.assert_array_equal(np.asarray(found.dataobj), expected)

    @pytest.mark.parametrize(
        ("image", "says"),
        [
            ((np.zeros((4, 4, 4, 2)), (1, 1, 1)), "the image has 4 dimensions"),
            ((np.zeros((4, 4, 4), complex), (1, 1, 1)), "stores voxels of type complex128"),
            ((np.zeros((4, 4, 4), object), (1, 1, 1)), "stores voxels of type object"),
            ((np.full((4, 4, 4), "a"), (1, 1, 1)), "stores voxels of type <U1"),
            ((np.zeros((0, 4, 4)), (1, 1, 1)), "so no voxels"),
            ((np.ones((4, 4, 4)), (1, 0, 1)), "each above 0"),
            ((np.ones((4, 4, 4)), (1, -1, 1)), "each above 0"),
            ((np.ones((4, 4, 4)), (1, np.nan, 1)), "each above 0"),
            ((np.ones((4, 4, 4)), "abc"), "the spacing of an array is abc"),
            ((np.full((4, 4, 4), np.nan), (1, 1, 1)), "the image holds NaN"),
            (SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 2), "stores 2 numbers a voxel"),
            (SimpleITK.Image([4, 4, 4], SimpleITK.sitkComplexFloat32), "stores 1 numbers a voxel"),
            (nibabel.Nifti1Image(np.zeros((4, 4, 4), np.complex64), np.eye(4)), "stores voxels of type complex64"),
            (nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.float32), np.eye(4)), "the image has 4 dimensions"),
            ([], "the list of channels is empty"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_no_image_is_refused_in_one_line(self, loaded, image, says):
        with pytest.raises(HermesError, match=says) as error:
            loaded.predict(image, members=["abdomen"])
        assert "\n" not in str(error.value)
