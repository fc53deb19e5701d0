import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.errors import HermesError

TISSUES = ("graymatter", "whitematter", "csf")
# Of the paper's training, validation and test list; the last is in none.
CASES = {"train": ("dlbs_0028401", "ixi_012"), "valid": ("dlbs_0028394",), "test": ("dlbs_0028581", "sald_031764")}


def probabilities(case: str) -> np.ndarray:
    """Of background and the three tissues (4, X, Y, Z), 1 together."""
    parts = np.random.default_rng(sum(case.encode())).random((4, 6, 5, 4))
    return (parts / parts.sum(axis=0)).astype(np.float32)


@pytest.fixture
def brains(source):
    for part, cases in CASES.items():
        for case in cases:
            source.image(f"{part}/image/{case}_img.nii")
            for tissue, voxels in zip(TISSUES, probabilities(case)[1:], strict=True):
                source.write(f"{part}/mask/{case}_probmask_{tissue}.nii", voxels)
    return source


class TestLabels:
    def test_are_of_the_most_probable_tissue_where_background_is_not(self, brains, converted):
        result = converted("brain_structure")
        for case, part in (("dlbs_0028401", "Tr"), ("dlbs_0028581", "Ts")):
            label = result.voxels(f"labels{part}/{case}.nii.gz")
            np.testing.assert_array_equal(label, probabilities(case).argmax(axis=0))
            assert set(np.unique(label)) == {0, 1, 2, 3}

    def test_are_named_in_the_order_of_the_paper(self, brains, converted):
        content = converted("brain_structure").json("dataset.json")
        assert content["labels"] == {"background": 0, "grey_matter": 1, "white_matter": 2, "cerebrospinal_fluid": 3}
        assert content["channel_names"] == {"0": "T1"}

    def test_are_background_where_little_of_the_head_is_tissue(self, brains, converted):
        for tissue in TISSUES:
            brains.write(f"train/mask/dlbs_0028401_probmask_{tissue}.nii", np.full((6, 5, 4), 0.24, np.float32))
        voxels = np.full((6, 5, 4), 0.24, np.float32)
        voxels[2, 3, 1] = 0.45
        brains.write("train/mask/dlbs_0028401_probmask_whitematter.nii", voxels)
        label = converted("brain_structure").voxels("labelsTr/dlbs_0028401.nii.gz")
        assert label[2, 3, 1] == 2
        assert label.sum() == 2

    def test_are_background_only_where_all_maps_are_zero_by_the_papers_rule(self, brains, converted):
        maps = np.full((3, 6, 5, 4), 0.01, np.float32)
        maps[:, 0] = 0
        maps[2, 1] = 0.02
        for tissue, voxels in zip(TISSUES, maps, strict=True):
            brains.write(f"train/mask/dlbs_0028401_probmask_{tissue}.nii", voxels)
        result = converted("brain_structure", options={"background": ["zero"]})
        label = result.voxels("labelsTr/dlbs_0028401.nii.gz")
        assert np.unique(label[0]).tolist() == [0]
        assert np.unique(label[1]).tolist() == [3]
        assert np.unique(label[2:]).tolist() == [1]
        lines = result_lines(result.result)
        assert "background: where all three maps are 0, as in the paper" in lines
        assert "the paper's lists name cases of DLBS only: those of IXI and SALD need --all-training" in lines

    def test_another_rule_is_refused(self, brains, converted):
        with pytest.raises(HermesError, match="--background none: choose rest or zero"):
            converted("brain_structure", options={"background": ["none"]})

    def test_come_from_maps_stored_as_bytes_too(self, brains, converted):
        for tissue, voxels in zip(TISSUES, probabilities("dlbs_0028401")[1:], strict=True):
            path = brains.path / f"train/mask/dlbs_0028401_probmask_{tissue}.nii"
            header = nibabel.load(path).header
            header.set_data_dtype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(voxels, None, header), path)
            assert nibabel.load(path).get_data_dtype() == np.uint8
        label = converted("brain_structure").voxels("labelsTr/dlbs_0028401.nii.gz")
        assert (label == probabilities("dlbs_0028401").argmax(axis=0)).mean() > 0.95


class TestCases:
    def test_follow_the_papers_lists_and_leave_out_others(self, brains, converted):
        result = converted("brain_structure")
        assert result.names("imagesTr") == ["dlbs_0028394_0000.nii.gz", "dlbs_0028401_0000.nii.gz"]
        assert result.names("imagesTs") == ["dlbs_0028581_0000.nii.gz"]
        assert [case.name for case in result.result.parts.unlisted] == ["ixi_012", "sald_031764"]

    def test_of_all_three_sources_are_for_training_on_request(self, brains, converted):
        assert len(converted("brain_structure", all_training=True).names("imagesTr")) == 5

    def test_keep_voxels_and_direction(self, brains, converted, affines):
        result = converted("brain_structure")
        published = nibabel.load(brains.path / "train/image/dlbs_0028401_img.nii")
        name = "imagesTr/dlbs_0028401_0000.nii.gz"
        np.testing.assert_array_equal(result.voxels(name), np.asanyarray(published.dataobj))
        np.testing.assert_array_equal(result.affine(name), affines["oblique"])
        np.testing.assert_array_equal(result.affine("labelsTr/dlbs_0028401.nii.gz"), affines["oblique"])


class TestBadSource:
    def test_missing_map_is_told(self, brains, converted):
        (brains.path / "train/mask/dlbs_0028401_probmask_csf.nii").unlink()
        with pytest.raises(HermesError, match="case dlbs_0028401: its map dlbs_0028401_probmask_csf is missing"):
            converted("brain_structure")

    def test_maps_on_different_grids_are_told(self, brains, converted, affines):
        name = "train/mask/dlbs_0028401_probmask_csf.nii"
        brains.write(name, probabilities("dlbs_0028401")[3], affines["LPI"])
        with pytest.raises(HermesError, match=r"case dlbs_0028401: .*probmask_csf\.nii lies .* off the grid of"):
            converted("brain_structure")

    def test_maps_that_are_no_probabilities_are_told(self, brains, converted):
        brains.label("train/mask/dlbs_0028401_probmask_csf.nii", [0, 255])
        with pytest.raises(HermesError, match=r"probmask_csf\.nii holds values from 0 to 255, not probabilities"):
            converted("brain_structure")

    def test_empty_folder_is_told(self, source, converted):
        with pytest.raises(HermesError, match="holds no train/image/dlbs_0028401_img"):
            converted("brain_structure")
