import gzip

import numpy as np


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
