import numpy as np
import pytest

from hermes_nnunet.errors import HermesError

STRUCTURES = 117
PLACES = {"spleen": 1, "liver": 5, "prostate": 22, "vertebrae_S1": 26, "vertebrae_L5": 27, "vertebrae_C1": 50,
          "heart": 51, "spinal_cord": 79, "skull": 91, "rib_left_1": 92, "rib_right_12": 115,
          "costal_cartilages": 117}  # fmt: skip


@pytest.fixture
def structures(converted):
    from hermes_nnunet.data.conversion.registry import find_converter

    return find_converter("totalsegmentator").labels


@pytest.fixture
def totalsegmentator(source, structures):
    """s0000 for training, s0004 for validation, s0011 for testing; every voxel is of the structure of its number."""
    lines = ["image_id;age;gender;institute;study_type;split"]
    values = np.arange(6 * 5 * 4).reshape(6, 5, 4) % (STRUCTURES + 1)
    for case, part in (("s0000", "train"), ("s0004", "val"), ("s0011", "test")):
        lines.append(f"{case};50;m;A;ct thorax;{part}")
        source.image(f"{case}/ct.nii.gz")
        for value, name in enumerate(structures, start=1):
            source.write(f"{case}/segmentations/{name}.nii.gz", (values == value).astype(np.uint8))
    (source.path / "meta.csv").write_text("\n".join([*lines, "s0012;50;f;B;ct head;train"]), encoding="utf-8-sig")
    return source


class TestTotalSegmentator:
    def test_masks_become_the_values_of_its_own_label_maps(self, totalsegmentator, converted):
        result = converted("totalsegmentator")
        labels = result.json("dataset.json")["labels"]
        assert len(labels) == STRUCTURES + 1
        assert {name: labels[name] for name in PLACES} == PLACES
        expected = np.arange(6 * 5 * 4).reshape(6, 5, 4) % (STRUCTURES + 1)
        np.testing.assert_array_equal(result.voxels("labelsTr/s0000.nii.gz"), expected)

    def test_follows_the_splits_of_its_table(self, totalsegmentator, converted):
        result = converted("totalsegmentator")
        assert result.json("splits_final.json") == [{"train": ["s0000"], "val": ["s0004"]}]
        assert result.names("labelsTs") == ["s0011.nii.gz"]
        assert result.result.missing == ["s0012"]

    def test_later_masks_win_where_they_overlap(self, totalsegmentator, converted):
        totalsegmentator.write("s0000/segmentations/skull.nii.gz", np.ones((6, 5, 4), np.uint8))
        label = converted("totalsegmentator").voxels("labelsTr/s0000.nii.gz")
        assert label.min() == 91
        assert label.max() == 117

    def test_missing_and_shifted_masks_are_told(self, totalsegmentator, converted, affines):
        (totalsegmentator.path / "s0000/segmentations/liver.nii.gz").unlink()
        with pytest.raises(HermesError, match=r"case s0000: .*segmentations/liver\.nii\.gz is missing"):
            converted("totalsegmentator")
        totalsegmentator.write("s0000/segmentations/liver.nii.gz", np.ones((6, 5, 4), np.uint8), affines["RAS"])
        with pytest.raises(
            HermesError, match=r"case s0000: .*liver\.nii\.gz lies .* off the grid of .*spleen\.nii\.gz"
        ):
            converted("totalsegmentator", 12)

    def test_the_first_release_is_told(self, totalsegmentator, converted):
        totalsegmentator.label("s0000/segmentations/heart_myocardium.nii.gz", [1])
        with pytest.raises(HermesError, match=r"is of TotalSegmentator v1, with 104 structures: download v2"):
            converted("totalsegmentator")

    @pytest.mark.parametrize("text", [None, "", "image_id,split\ns0000,train\n"])
    def test_without_its_table_is_refused(self, totalsegmentator, converted, text):
        path = totalsegmentator.path / "meta.csv"
        path.unlink() if text is None else path.write_text(text)
        with pytest.raises(HermesError, match=r"meta\.csv"):
            converted("totalsegmentator")
