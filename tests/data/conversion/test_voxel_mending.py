import nibabel
import numpy as np
import pytest

from hermes_nnunet.data.conversion import NiftiVolume, SourceCase
from hermes_nnunet.data.conversion.report import result_lines
from hermes_nnunet.data.conversion.voxel_mending import whole_labels, without_gaps
from hermes_nnunet.errors import HermesError


def smooth(shape=(30, 20, 10)):
    x, y, z = np.indices(shape)
    return (x + 10.0 * y + 100 * z).astype(np.float32)


class TestWithoutGaps:
    @pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("place", [(4, 5, 6), (0, 0, 0), (29, 19, 9)])
    def test_gives_a_single_voxel_the_median_of_those_around(self, gap, place):
        voxels = smooth()
        voxels[place] = gap
        mended, number = without_gaps(voxels, "a")
        assert number == 1
        others = np.ones(voxels.shape, bool)
        others[place] = False
        np.testing.assert_array_equal(mended[others], voxels[others])
        around = tuple(slice(max(0, i - 1), i + 2) for i in place)
        assert mended[place] == np.median(voxels[around][np.isfinite(voxels[around])])
        assert not np.isfinite(voxels[place])

    def test_leaves_whole_images_as_they_are(self):
        for voxels in (smooth(), smooth().astype(np.int16)):
            assert without_gaps(voxels, "a")[0] is voxels

    def test_refuses_more_than_a_slip(self):
        voxels = smooth()
        voxels[3:5, 3, 3] = np.nan
        with pytest.raises(HermesError, match=r"^a holds NaN or infinite voxels \(2 of 6000\)"):
            without_gaps(voxels, "a")

    def test_refuses_a_voxel_without_neighbours(self):
        with pytest.raises(HermesError, match="no number around them"):
            without_gaps(np.full((1, 1, 1), np.nan), "a")


class TestWholeLabels:
    def test_rounds_what_is_beside_a_whole_number(self):
        voxels, rounded = whole_labels(np.array([0, 0.999999, 2.0000012, 7], np.float32))
        assert rounded
        assert voxels.tolist() == [0, 1, 2, 7]

    @pytest.mark.parametrize("values", [[0, 1.5], [0, 1.01], [0, 3]])
    def test_leaves_the_rest(self, values):
        voxels, rounded = whole_labels(np.array(values, np.float64))
        assert not rounded
        assert voxels.tolist() == values


class TestConversion:
    def test_mends_counts_and_names(self, toy, toy_source, converted):
        voxels = smooth((6, 5, 4))
        voxels[0, 4, 2] = np.nan
        path = toy_source.write("a1.nii.gz", voxels)
        toy_source.label("a2_seg.nii.gz", [0, 2.000001, 6.9999995, 9], dtype=np.float32)
        result = converted(toy(), link=True)
        written = result.voxels("imagesTr/a1_0000.nii.gz")
        assert np.isfinite(written).all()
        assert (written != np.asanyarray(nibabel.load(path).dataobj)).sum() == 1
        assert np.isnan(np.asanyarray(nibabel.load(path).dataobj)).any()  # a link would have lost it
        np.testing.assert_array_equal(result.voxels("labelsTr/a2.nii.gz"), np.resize([0, 2, 1, 0], (6, 5, 4)))
        lines = result_lines(result.result)
        assert "voxels that are no numbers replaced by the median of those around: 1 in 1 cases: a1" in lines
        assert "label values rounded to whole numbers in 1 cases: a2" in lines

    @pytest.mark.parametrize("link", [False, True])
    def test_takes_channels_that_are_off_by_rounded_headers(self, toy, source, converted, affines, link):
        off = affines["oblique"] + 0
        off[:3, 3] += 0.004, 0.01, -0.004
        for name in ("a", "b"):
            source.image(f"{name}_pet.nii.gz", dtype=np.float32)
            source.image(f"{name}_ct.nii.gz", affines["oblique"] if name == "b" else off)
            source.label(f"{name}_seg.nii.gz", [0, 2, 7])

        def find(folder):
            volumes = {
                name: [NiftiVolume(folder / f"{name}_{kind}.nii.gz") for kind in ("pet", "ct", "seg")] for name in "ab"
            }
            return [SourceCase(name, (pet, ct), seg) for name, (pet, ct, seg) in volumes.items()]

        result = converted(toy(channels=("PET", "CT"), find_cases=find), link=link)
        assert result.result.aligned == ["a"]
        for name in "ab":
            channel = f"imagesTr/{name}_0001.nii.gz"
            np.testing.assert_array_equal(result.affine(channel), affines["oblique"])
            published = nibabel.load(source.path / f"{name}_ct.nii.gz")
            np.testing.assert_array_equal(result.voxels(channel), np.asanyarray(published.dataobj))
            assert (result.folder / channel).is_symlink() == (link and name == "b")
        assert "header of a channel mended in 1 cases: a" in result_lines(result.result)

    def test_takes_labels_that_are_off_by_rounded_headers(self, toy, toy_source, converted, affines):
        off = affines["oblique"] + 0
        off[:3, 3] += 0.004, 0.01, -0.004
        toy_source.label("a1_seg.nii.gz", [0, 2, 7], off)
        result = converted(toy())
        assert result.result.mended == ["a1"]
        np.testing.assert_array_equal(result.affine("labelsTr/a1.nii.gz"), affines["oblique"])
        off[0, 3] += 0.02
        toy_source.label("a1_seg.nii.gz", [0, 2, 7], off)
        with pytest.raises(HermesError, match=r"case a1: .* lies 0\.024 mm \(allowed 0\.02 mm\) off the grid of"):
            converted(toy(), 12)
