import numpy as np
import pytest

from hermes_nnunet.data.dicom.segmentations import segment_masks
from hermes_nnunet.data.dicom.volume import DicomVolume
from hermes_nnunet.errors import HermesError

pytest.importorskip("highdicom")

OBLIQUE = ((0.96, 0.28, 0.0), (-0.0672, 0.2304, -0.9707728879))


def blob(shape=(5, 8, 6), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.6


class TestMasks:
    @pytest.mark.parametrize("step", [3.0, -3.0])
    def test_lie_on_the_slices_that_were_segmented(self, dicom, noise, tmp_path, step):
        paths = dicom.series(tmp_path / "ct", noise(), orientation=OBLIQUE, step=step)
        masks = {"liver": blob(seed=1), "spleen": blob(seed=2)}
        path = dicom.segmentation(tmp_path / "seg", paths, masks)
        grid = DicomVolume(tuple(paths)).grid()
        for name, mask in zip(("spleen", "liver"), segment_masks(path, ("spleen", "liver"), grid), strict=True):
            expected = masks[name].transpose(2, 1, 0)
            np.testing.assert_array_equal(mask, expected if step > 0 else expected[..., ::-1])

    def test_of_a_part_of_the_slices_are_set_into_the_series(self, dicom, noise, tmp_path):
        paths = dicom.series(tmp_path / "ct", noise())
        part = blob((2, 8, 6))
        path = dicom.segmentation(tmp_path / "seg", paths[1:3], {"liver": part})
        (mask,) = segment_masks(path, ("liver",), DicomVolume(tuple(paths)).grid())
        np.testing.assert_array_equal(mask[..., 1:3], part.transpose(2, 1, 0))
        assert not mask[..., [0, 3, 4]].any()

    def test_with_empty_slices_that_were_not_stored_are_whole(self, dicom, noise, tmp_path):
        paths = dicom.series(tmp_path / "ct", noise())
        sparse = np.zeros((5, 8, 6), bool)
        sparse[0, 2, 3] = sparse[4, 5, 1] = True
        path = dicom.segmentation(tmp_path / "seg", paths, {"liver": sparse}, omit_empty_frames=True)
        (mask,) = segment_masks(path, ("liver",), DicomVolume(tuple(paths)).grid())
        np.testing.assert_array_equal(mask, sparse.transpose(2, 1, 0))


class TestBadSegmentation:
    def test_beyond_the_series_is_told(self, dicom, noise, tmp_path):
        paths = dicom.series(tmp_path / "ct", noise())
        path = dicom.segmentation(tmp_path / "seg", paths, {"liver": np.ones((5, 8, 6), bool)})
        with pytest.raises(HermesError, match="'liver' reaches beyond the series"):
            list(segment_masks(path, ("liver",), DicomVolume(tuple(paths[:4])).grid()))

    def test_on_other_voxels_is_told(self, dicom, noise, tmp_path):
        paths = dicom.series(tmp_path / "ct", noise())
        others = dicom.series(tmp_path / "other", noise(), position=(-20.4, -30, 40))
        path = dicom.segmentation(tmp_path / "seg", paths, {"liver": blob()})
        with pytest.raises(HermesError, match="cannot be laid on the voxels of the series"):
            list(segment_masks(path, ("liver",), DicomVolume(tuple(others)).grid()))
