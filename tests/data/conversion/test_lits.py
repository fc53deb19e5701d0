import gzip

import numpy as np
import pytest

from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.errors import HermesError


class TestLits:
    def test_is_converted_from_its_batches(self, source, converted):
        # train, val and test; uncompressed, as they are published
        source.pairs((6, 0), "Training Batch 1/volume-{}.nii", "Training Batch 1/segmentation-{}.nii", range(3))
        source.pairs((33,), "Training Batch 2/volume-{}.nii", "Training Batch 2/segmentation-{}.nii", range(3))
        source.image("Test-Data/test-volume-6.nii")
        result = converted("lits", link=True)
        assert result.json("splits_final.json") == [{"train": ["volume-6"], "val": ["volume-0"]}]
        assert result.names("imagesTs") == ["test-volume-6_0000.nii.gz", "volume-33_0000.nii.gz"]
        assert result.names("labelsTs") == ["volume-33.nii.gz"]
        assert result.json("dataset.json")["labels"] == {"background": 0, "liver": 1, "tumor": 2}
        written = result.folder / "imagesTr/volume-6_0000.nii.gz"
        assert not written.is_symlink()
        published = source.path / "Training Batch 1/volume-6.nii"
        assert gzip.decompress(written.read_bytes()) == published.read_bytes()
        np.testing.assert_array_equal(result.voxels("labelsTr/volume-6.nii.gz"), np.resize(range(3), (6, 5, 4)))
        assert len(result.result.missing) == 128

    def test_labels_take_the_header_of_their_volume(self, source, converted, affines):
        source.pairs((6, 0), "volume-{}.nii", "segmentation-{}.nii", range(3))
        flipped = affines["oblique"] @ np.diag([-1.0, 1, 1, 1])
        source.label("segmentation-6.nii", range(3), flipped)
        source.label("segmentation-0.nii", range(3), np.eye(4))
        result = converted("lits")
        for number in (6, 0):
            np.testing.assert_array_equal(result.affine(f"labelsTr/volume-{number}.nii.gz"), affines["oblique"])
            label = result.voxels(f"labelsTr/volume-{number}.nii.gz")
            np.testing.assert_array_equal(label, np.resize(range(3), (6, 5, 4)))
        assert "header of the label mended in 2 cases: volume-0, volume-6" in result_lines(result.result)

    def test_labels_of_another_shape_are_refused(self, source, converted):
        source.pairs((6, 0), "volume-{}.nii", "segmentation-{}.nii", range(3))
        source.label("segmentation-6.nii", range(3), shape=(6, 5, 5))
        with pytest.raises(HermesError, match=r"segmentation-6\.nii has shape \(6, 5, 5\), not the \(6, 5, 4\) of"):
            converted("lits")

    def test_volumes_without_place_and_spacing_are_named(self, source, converted):
        source.pairs((6, 0), "volume-{}.nii", "segmentation-{}.nii", range(3))
        source.pairs((28,), "volume-{}.nii", "segmentation-{}.nii", range(3), affine=np.eye(4))
        result = converted("lits")
        assert (
            "warning: 1 images have headers that say neither place nor spacing (1 x 1 x 1 mm is taken): volume-28.nii"
        ) in result_lines(result.result)
