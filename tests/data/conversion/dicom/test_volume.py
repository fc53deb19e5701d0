from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset

from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError

OBLIQUE = ((0.96, 0.28, 0.0), (-0.0672, 0.2304, -0.9707728879))
REAL_SERIES = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "extra" / "example_ct_dicom"


@pytest.fixture
def volume(tmp_path, dicom, noise):
    """A series on disk, its files in the order of a directory."""

    def call(voxels=None, **arguments) -> DicomVolume:
        folder = tmp_path / "series"
        dicom.series(folder, noise() if voxels is None else voxels, **arguments)
        return DicomVolume(tuple(sorted(folder.iterdir())))

    return call


class TestOrder:
    @pytest.mark.parametrize("step", [3.0, -3.0])
    def test_is_by_position_whatever_files_are_called(self, volume, noise, step):
        read = np.asanyarray(volume(step=step).read().dataobj)
        expected = noise().transpose(2, 1, 0)
        np.testing.assert_array_equal(read, expected if step > 0 else expected[..., ::-1])

    def test_and_place_are_those_of_an_oblique_series(self, volume, noise, millimetres):
        grid = volume(orientation=OBLIQUE, position=(11.0, -7.0, 5.5), spacing=(2.0, 1.5), step=3.0).grid()
        assert grid.shape == (6, 8, 5)
        np.testing.assert_allclose(millimetres(grid, (0, 0, 0)), (11.0, -7.0, 5.5), atol=1e-6)
        along_row, down_column = np.array(OBLIQUE)
        place = np.array((11.0, -7.0, 5.5)) + 4 * 1.5 * along_row + 7 * 2 * down_column
        place += 3 * 3 * np.cross(along_row, down_column)
        np.testing.assert_allclose(millimetres(grid, (4, 7, 3)), place, atol=1e-5)

    def test_is_that_of_simpleitk_in_a_file(self, volume, tmp_path):
        series = volume(orientation=OBLIQUE)
        nibabel.save(series.read(), tmp_path / "ours.nii.gz")
        ours = SimpleITK.ReadImage(str(tmp_path / "ours.nii.gz"))
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series.paths[0].parent)))
        theirs = reader.Execute()
        # GDCM orders and places slices by itself.
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(theirs))
        for place in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(ours, place)(), getattr(theirs, place)(), atol=1e-4)


class TestUnits:
    def test_are_hounsfield_units_by_slope_and_intercept(self, volume, noise):
        image = volume(intercept=-1024.0).read()
        assert image.get_data_dtype() == np.int16
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), noise().transpose(2, 1, 0) - 1024)

    def test_are_right_where_every_slice_has_its_own_slope(self, volume, noise):
        slopes = (1.0, 0.5, 0.25, 2.0, 1.5)
        image = volume(slopes=slopes).read()
        assert image.get_data_dtype() == np.float32
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), noise().transpose(2, 1, 0) * np.array(slopes))

    def test_that_need_more_than_16_bits_get_them(self, volume, noise):
        image = volume(slopes=(100.0,) * 5).read()
        assert image.get_data_dtype() == np.int32
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), noise().transpose(2, 1, 0).astype(int) * 100)

    @pytest.mark.parametrize("tags", [{}, {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}])
    def test_are_not_inverted_where_viewers_are_to_show_low_values_bright(self, volume, noise, tags):
        voxels = abs(noise())
        image = volume(voxels, intercept=-1024.0, PhotometricInterpretation="MONOCHROME1", **tags).read()
        np.testing.assert_array_equal(np.asanyarray(image.dataobj), voxels.transpose(2, 1, 0) - 1024)


class TestBadSeries:
    def told(self, volume) -> str:
        with pytest.raises(HermesError) as error:
            volume.grid()
        assert "\n" not in str(error.value)
        return str(error.value)

    def test_of_one_slice_is_told(self, volume, noise):
        assert "has 1 slices: a volume needs at least two" in self.told(volume(noise((1, 4, 4))))

    def test_with_a_missing_slice_is_told_with_its_neighbours(self, volume, tmp_path):
        paths = volume().paths
        by_position = sorted(
            paths, key=lambda path: np.random.default_rng(1).permutation(5).tolist().index(int(path.stem))
        )
        by_position[2].unlink()
        message = self.told(DicomVolume(tuple(path for path in paths if path.exists())))
        assert f"1 slices are missing between {by_position[1].name} and {by_position[3].name}" in message

    def test_with_uneven_distances_is_told(self, volume, dicom, noise, tmp_path):
        first = volume(noise((3, 8, 6)))
        more = dicom.series(tmp_path / "series", noise((2, 8, 6)), position=(-20, -30, 51.5), names=["x", "y"])
        assert "slices lie 3 mm apart, but 5.5 mm between" in self.told(DicomVolume((*first.paths, *more)))

    def test_with_two_slices_at_one_position_is_told(self, volume, dicom, noise, tmp_path):
        first = volume()
        again = dicom.series(tmp_path / "series", noise((1, 8, 6)), position=(-20, -30, 46.0), names=["again"])
        assert "again lie at the same position" in self.told(DicomVolume((*first.paths, *again)))

    def test_with_copies_of_files_is_read_without_them(self, volume, noise):
        series = volume()
        copy = series.paths[2].with_name("copy (1).dcm")
        copy.write_bytes(series.paths[2].read_bytes())
        with_copy = DicomVolume((*series.paths, copy))
        assert len(with_copy.copies()) == 1
        np.testing.assert_array_equal(np.asanyarray(with_copy.read().dataobj), noise().transpose(2, 1, 0))

    def test_with_a_localizer_is_told(self, volume, dicom, noise, tmp_path):
        first = volume()
        scout = dicom.series(tmp_path / "series", noise((1, 8, 6)), orientation=OBLIQUE, names=["scout"])
        assert "scout have different orientations" in self.told(DicomVolume((*first.paths, *scout)))

    def test_with_another_matrix_is_told(self, volume, dicom, noise, tmp_path):
        other = dicom.series(tmp_path / "series", noise((1, 4, 4)), position=(-20, -30, 55.0), names=["small"])
        assert "small have different sizes or pixel spacings" in self.told(DicomVolume((*volume().paths, *other)))

    def test_of_a_tilted_gantry_is_told(self, dicom, noise, tmp_path):
        paths = [
            dicom.series(tmp_path, noise((1, 8, 6)), position=(0, index * 0.4, index * 3.0), names=[str(index)])[0]
            for index in range(4)
        ]
        assert "shifted against each other by up to 1.2 mm (a tilted gantry?)" in self.told(DicomVolume(tuple(paths)))

    def test_without_a_place_is_told(self, volume):
        assert "has no ImagePositionPatient, so its place is unknown" in self.told(volume(ImagePositionPatient=None))

    def test_of_several_frames_a_file_is_told(self, volume):
        assert "has several frames: convert it to one file a slice" in self.told(volume(NumberOfFrames=5))

    @pytest.mark.parametrize(
        ("tags", "says"),
        [
            ({"PhotometricInterpretation": "RGB"}, "is a picture in colours (RGB), which measure nothing"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a picture in colours (PALETTE COLOR)"),
            ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "is a mosaic of many slices in one picture"),
            ({"ModalityLUTSequence": [Dataset()]}, "has a table of values (Modality LUT), which is not read"),
            ({"BitsStored": 12}, "has its 12 bits not at the lower end of a pixel (HighBit 15)"),
        ],
    )
    def test_of_pixels_that_are_no_measured_values_or_not_read_rightly_is_told(self, volume, tags, says):
        assert says in self.told(volume(**tags))

    def test_of_a_file_that_ends_in_its_pixels_is_told(self, volume, noise):
        cut = volume(noise((5, 200, 100)))
        cut.paths[2].write_bytes(cut.paths[2].read_bytes()[:20_000])
        message = self.told(cut)
        assert message == f"{cut.paths[2]} is cut short (20000 bytes and more are missing): copy it again"

    def test_that_is_no_dicom_is_told(self, volume):
        series = volume()
        series.paths[2].write_bytes(b"x" * 500)
        assert f"{series.paths[2]} cannot be read as DICOM" in self.told(series)

    def test_with_truncated_pixels_is_told(self, volume):
        series = volume()
        series.paths[2].write_bytes(series.paths[2].read_bytes()[:-40])
        with pytest.raises(HermesError, match=r"the pixels of .*series cannot be read"):
            series.read()


@pytest.mark.skipif(not REAL_SERIES.is_dir(), reason="the real images are not here")
def test_real_series_without_uids_is_read_in_order_and_in_hounsfield_units():
    series = DicomVolume(tuple(REAL_SERIES.iterdir()))
    image = series.read()
    assert image.shape == (512, 512, 20)
    np.testing.assert_allclose(image.header.get_zooms(), (0.9765625, 0.9765625, 2.0))
    np.testing.assert_allclose(image.affine[:3, 3], (249.51171875, 437.51171875, -804.5))
    voxels = np.asanyarray(image.dataobj)
    assert voxels.dtype == np.int16
    assert -1024 <= voxels.min() < -900
    # Neighbouring slices look alike only in their true order.
    change = np.abs(np.diff(voxels[::8, ::8].astype(float), axis=-1)).mean()
    shuffled = np.abs(np.diff(voxels[::8, ::8, ::5].astype(float), axis=-1)).mean()
    assert change < shuffled
