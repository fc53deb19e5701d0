"""HermesImageIO, as nnU-Net finds it, against nnU-Net's own reader and writer."""

import pickle
from itertools import permutations

import nibabel
import numpy as np
import pytest
import SimpleITK
from nibabel.orientations import apply_orientation, inv_ornt_aff
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.image_reader_writer import HermesImageIO, check_axes

SHAPE = (5, 6, 7)
RAS = np.array([[2.0, 0, 0, 11], [0, 3, 0, 12], [0, 0, 4, 13], [0, 0, 0, 1]])
OBLIQUE = np.array([[-1.2, 0.3, 0, -80], [0.3, 1.2, 0.1, 40], [0, -0.1, 3, 7], [0, 0, 0, 1.0]])
# No two voxels are the same, so that none can change its place unseen.
VOXELS = np.random.default_rng(0).permutation(np.arange(np.prod(SHAPE))).reshape(SHAPE).astype(np.int16)
TURNS = [
    np.column_stack([axes, signs])
    for axes in permutations(range(3))
    for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1))
]


@pytest.fixture
def reader():
    return HermesImageIO()


def turned(turn):
    """VOXELS and RAS with other axes."""
    return apply_orientation(VOXELS, turn), RAS @ inv_ornt_aff(turn, SHAPE)


def test_nnunet_finds_it_by_its_name():
    assert recursive_find_reader_writer_by_name(READER_WRITER) is HermesImageIO


class TestNifti:
    @pytest.mark.parametrize("affine", [RAS, OBLIQUE, np.diag([-0.7, -0.7, 5, 1])])
    @pytest.mark.parametrize("slope", [1, 0.37])
    def test_is_read_as_nnunets_reader_does(self, reader, tmp_path, write_nifti, affine, slope):
        path = write_nifti(tmp_path / "a.nii.gz", VOXELS, affine, slope=slope, inter=-3)
        voxels, properties = reader.read_images([str(path)])
        expected, stock = NibabelIOWithReorient().read_images([str(path)])
        np.testing.assert_array_equal(voxels, expected)
        assert voxels.dtype == np.float32
        np.testing.assert_allclose(properties["spacing"], stock["spacing"], rtol=1e-7)
        for name in ("original_affine", "reoriented_affine"):
            np.testing.assert_array_equal(properties["nibabel_stuff"][name], stock["nibabel_stuff"][name])

    def test_is_written_as_nnunets_writer_does(self, reader, tmp_path, write_nifti):
        path = write_nifti(tmp_path / "a.nii.gz", VOXELS, OBLIQUE)
        labels, properties = reader.read_seg(str(path))
        for number, writer in enumerate((reader, NibabelIOWithReorient())):
            writer.write_seg(labels[0], str(tmp_path / f"{number}.nii.gz"), properties)
        ours, stock = (nibabel.load(tmp_path / f"{number}.nii.gz") for number in (0, 1))
        np.testing.assert_array_equal(np.asanyarray(ours.dataobj), VOXELS)
        np.testing.assert_array_equal(np.asanyarray(ours.dataobj), np.asanyarray(stock.dataobj))
        np.testing.assert_allclose(ours.affine, stock.affine, atol=1e-6)
        assert ours.get_data_dtype() == stock.get_data_dtype()

    @pytest.mark.parametrize(("sform", "qform"), [(0, 0), (1, 0), (0, 1), (2, 1), (4, 3)])
    def test_keeps_the_codes_of_the_image(self, reader, tmp_path, write_nifti, sform, qform):
        path = write_nifti(tmp_path / "a.nii.gz", VOXELS, RAS, sform=sform, qform=RAS, qform_code=qform)
        labels, properties = reader.read_seg(str(path))
        reader.write_seg(labels[0], str(tmp_path / "b.nii.gz"), pickle.loads(pickle.dumps(properties)))
        image, written = nibabel.load(path), nibabel.load(tmp_path / "b.nii.gz")
        assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (sform, qform)
        np.testing.assert_array_equal(written.affine, image.affine)
        first, second = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", "b.nii.gz"))
        assert first.GetOrigin() == second.GetOrigin()
        assert first.GetDirection() == second.GetDirection()
        assert first.GetSpacing() == second.GetSpacing()
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(first), SimpleITK.GetArrayFromImage(second))

    def test_that_contradicts_itself_is_written_with_one_spacing(self, reader, tmp_path, write_nifti):
        qform = np.diag([-1.3158, -1.3158, 10.0, 1])
        path = write_nifti(tmp_path / "a.nii.gz", VOXELS, np.diag([-1.0, -1, 1, 1]), sform=1, qform=qform)
        labels, properties = reader.read_seg(str(path))
        assert properties["spacing"] == pytest.approx([10, 1.3158, 1.3158], rel=1e-6)
        reader.write_seg(labels[0], str(tmp_path / "b.nii.gz"), properties)
        written = nibabel.load(tmp_path / "b.nii.gz")
        np.testing.assert_allclose(written.affine, qform, rtol=1e-6)
        np.testing.assert_allclose(written.get_sform(), written.get_qform(), atol=1e-6)
        assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (1, 1)


def save(own, affine, path):
    """With SimpleITK, whose axes run to the left, the back and the head."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(own.transpose(2, 1, 0)))
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    lps = np.diag([-1.0, -1, 1]) @ affine[:3]
    image.SetSpacing(lengths.tolist())
    image.SetDirection((lps[:, :3] / lengths).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    SimpleITK.WriteImage(image, str(path))
    return str(path)


def assert_same_file(first, second):
    first, second = (SimpleITK.ReadImage(str(path)) for path in (first, second))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(first), SimpleITK.GetArrayFromImage(second))
    np.testing.assert_allclose(first.GetDirection(), second.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(first.GetOrigin(), second.GetOrigin(), atol=1e-5)
    assert first.GetSpacing() == pytest.approx(second.GetSpacing())


class TestEveryFormat:
    @pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii.gz"])
    @pytest.mark.parametrize("turn", TURNS, ids=str)
    def test_comes_from_any_direction_to_one_place_and_back(self, reader, tmp_path, ending, turn):
        path = save(*turned(turn), tmp_path / f"a{ending}")
        voxels, properties = reader.read_images([path])
        np.testing.assert_array_equal(voxels[0], VOXELS.T)
        assert properties["spacing"] == pytest.approx([4, 3, 2])
        np.testing.assert_allclose(properties["nibabel_stuff"]["reoriented_affine"], RAS, atol=1e-5)
        reader.write_seg(voxels[0].astype(np.int16), str(tmp_path / f"b{ending}"), properties)
        assert_same_file(path, tmp_path / f"b{ending}")

    def test_gipl_has_no_direction_but_left_and_back(self, reader, tmp_path):
        own = VOXELS[::-1, ::-1]
        path = save(own, np.diag([-2.0, -3, 4, 1]), tmp_path / "a.gipl")
        voxels, properties = reader.read_images([path])
        np.testing.assert_array_equal(voxels[0], VOXELS.T)
        assert properties["spacing"] == pytest.approx([4, 3, 2])
        reader.write_seg(voxels[0].astype(np.int16), str(tmp_path / "b.gipl"), properties)
        assert_same_file(path, tmp_path / "b.gipl")

    def test_nrrd_becomes_nifti_in_its_place(self, reader, tmp_path):
        path = save(*turned(TURNS[5]), tmp_path / "a.nrrd")
        labels, properties = reader.read_seg(path)
        reader.write_seg(labels[0], str(tmp_path / "b.nii.gz"), properties)
        assert_same_file(path, tmp_path / "b.nii.gz")


class TestOtherFormats:
    def test_with_several_numbers_a_voxel_are_refused(self, reader, tmp_path):
        SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorFloat32, 3), str(tmp_path / "a.nrrd"))
        with pytest.raises(HermesError, match=r"a\.nrrd stores 3 numbers a voxel .*: give one image for each channel"):
            reader.read_images([str(tmp_path / "a.nrrd")])

    @pytest.mark.parametrize("size", [(4, 4), (4, 4, 4, 2)])
    def test_of_other_dimensions_are_refused(self, reader, tmp_path, size):
        SimpleITK.WriteImage(SimpleITK.Image(size, SimpleITK.sitkFloat32), str(tmp_path / "a.nrrd"))
        with pytest.raises(HermesError, match=rf"a\.nrrd has {len(size)} dimensions"):
            reader.read_images([str(tmp_path / "a.nrrd")])

    def test_that_are_broken_are_refused(self, reader, tmp_path):
        (tmp_path / "a.nrrd").write_text("no image")
        with pytest.raises(HermesError, match=r"a\.nrrd cannot be read"):
            reader.read_images([str(tmp_path / "a.nrrd")])

    def test_that_are_cut_are_refused(self, reader, tmp_path):
        image = SimpleITK.GetImageFromArray(VOXELS)
        SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
        content = (tmp_path / "a.mha").read_bytes()
        (tmp_path / "a.mha").write_bytes(content[:-200])
        with pytest.raises(HermesError, match=r"a\.mha cannot be read"):
            reader.read_images([str(tmp_path / "a.mha")])


class TestChannels:
    def read(self, reader, tmp_path, write_nifti, second, shape=SHAPE):
        paths = [
            write_nifti(tmp_path / "a_0000.nii.gz", VOXELS, RAS),
            write_nifti(tmp_path / "a_0001.nii.gz", np.resize(VOXELS, shape), second),
        ]
        return reader.read_images([str(path) for path in paths])

    def test_with_other_axes_on_one_grid_are_stacked(self, reader, tmp_path, write_nifti):
        first = write_nifti(tmp_path / "a_0000.nii.gz", VOXELS, RAS)
        voxels, affine = turned(TURNS[5])
        second = write_nifti(tmp_path / "a_0001.nii.gz", voxels, affine)
        images, _ = reader.read_images([str(first), str(second)])
        np.testing.assert_array_equal(images[0], images[1])

    def test_on_one_grid_are_stacked(self, reader, tmp_path, write_nifti):
        assert self.read(reader, tmp_path, write_nifti, RAS)[0].shape == (2, 7, 6, 5)

    @pytest.mark.parametrize(
        ("second", "says"),
        [
            (RAS + 40 * np.eye(4, k=3), "differ by 40 mm"),
            (np.diag([3.0, 3, 4, 1]), "differ by"),
            (OBLIQUE, "differ by"),
        ],
    )
    def test_apart_are_refused_with_both_names(self, reader, tmp_path, write_nifti, second, says):
        with pytest.raises(HermesError, match=rf"a_0001\.nii\.gz and .*a_0000\.nii\.gz {says}"):
            self.read(reader, tmp_path, write_nifti, second)


class TestArrays:
    """Images in memory, as nnUNetPredictor takes them with the properties that a reader gives."""

    @pytest.fixture
    def file(self, tmp_path, write_nifti):
        return lambda affine: str(write_nifti(tmp_path / "a.nii.gz", VOXELS, affine))

    @pytest.mark.parametrize("other", [SimpleITKIO, NibabelIO])
    def test_with_axes_of_a_file_are_refused(self, file, other):
        with pytest.raises(HermesError, match=r"run to LPS .*SimpleITKIO or NibabelIO.*: read it with HermesImageIO"):
            check_axes(other().read_images([file(np.diag([-2.0, -3, 4, 1]))])[1])

    @pytest.mark.parametrize("other", [SimpleITKIO, NibabelIO, NibabelIOWithReorient, HermesImageIO])
    def test_with_axes_that_the_network_knows_are_taken(self, file, other):
        check_axes(other().read_images([file(RAS)])[1])

    @pytest.mark.parametrize("other", [NibabelIOWithReorient, HermesImageIO])
    def test_that_were_turned_are_taken(self, file, other):
        check_axes(other().read_images([file(np.diag([-2.0, -3, 4, 1]))])[1])

    def test_with_a_spacing_only_are_taken(self):
        check_axes({"spacing": (1, 1, 1)})
