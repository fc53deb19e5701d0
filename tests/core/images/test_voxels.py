import numpy as np
import pytest

from hermes_nnunet.core.images.voxels import image_voxels, label_voxels, may_be_hounsfield
from hermes_nnunet.errors import HermesError

LOWEST = float(np.finfo(np.float32).min)


@pytest.fixture
def voxels():
    return np.random.default_rng(0).normal(100, 30, (6, 7, 8))


class TestPadding:
    @pytest.mark.parametrize(
        ("value", "dtype"),
        [*((value, np.float32) for value in (-1e30, LOWEST, -LOWEST, 1e20, -1e9)), (-1e300, np.float64)],
    )
    def test_of_one_extreme_value_gets_the_lowest_of_the_rest(self, voxels, value, dtype):
        padded = voxels.astype(dtype)
        padded[:2] = value
        found, is_padded = image_voxels(padded, "a")
        assert is_padded
        np.testing.assert_array_equal(found[2:], voxels[2:].astype(np.float32))
        assert np.unique(found[:2]).tolist() == [np.float32(voxels[2:].min())]

    def test_of_whole_numbers_too(self):
        padded = np.array([[[-(2**31), 5, 7]]], np.int32)
        found, is_padded = image_voxels(padded, "a")
        assert is_padded
        assert found.tolist() == [[[5, 5, 7]]]

    @pytest.mark.parametrize("value", [-1024.0, -3024.0, -32768.0, 0.0, 3e8])
    def test_of_a_value_that_an_image_may_have_is_left(self, voxels, value):
        voxels[:2] = value
        found, is_padded = image_voxels(voxels, "a")
        assert not is_padded
        assert (found[:2] == np.float32(value)).all()

    def test_is_none_where_all_voxels_are_large(self, voxels):
        found, is_padded = image_voxels(voxels * 1e12, "a")
        assert not is_padded
        np.testing.assert_array_equal(found, (voxels * 1e12).astype(np.float32))

    def test_of_several_extreme_values_is_told(self, voxels):
        voxels[0, 0, :2] = -1e30, -3e38
        with pytest.raises(HermesError, match=r"a holds voxels as large as -3e\+38 and 1e\+30"):
            image_voxels(voxels, "a")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_that_is_no_number_is_told(self, voxels, value):
        voxels[0, 0, 0] = value
        with pytest.raises(HermesError, match="a holds NaN or infinite voxels"):
            image_voxels(voxels, "a")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint64, np.float16, np.longdouble])
def test_images_of_every_type_of_numbers_become_float32(dtype):
    found, _ = image_voxels(np.array([[[0, 1, 1]]], dtype), "a")
    assert found.dtype == np.float32
    assert found.tolist() == [[[0, 1, 1]]]


class TestLabels:
    def test_beside_whole_numbers_are_rounded(self):
        assert label_voxels(np.array([0, 0.9999999962747097, 2.0004])).tolist() == [0, 1, 2]
        assert label_voxels(np.array([0.9999], np.float32)).tolist() == [1]

    def test_far_from_whole_are_left(self):
        assert label_voxels(np.array([0.5, 1.002])).tolist() == [0.5, 1.002]


@pytest.mark.parametrize(
    ("lowest", "highest", "may_be"),
    [(-1024, 3071, True), (-60, 200, True), (0, 4095, False), (0, 1, False), (-1, 1, False), (-1.5, 3, False)],
)
def test_hounsfield_units_are_told_from_others(lowest, highest, may_be):
    assert may_be_hounsfield(lowest, highest) == may_be
