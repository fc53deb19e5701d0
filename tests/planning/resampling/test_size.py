import numpy as np
import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.resampling.size import check_size, memory_bytes


def test_what_fits_passes():
    check_size((2, 100, 512, 512), (5, 0.8, 0.8), (1.5, 1.5, 1.5), "a.nii.gz")
    assert memory_bytes() > 2**28


def test_what_is_larger_than_memory_is_refused_by_name():
    with pytest.raises(HermesError) as raised:
        check_size((1, 512, 512, 512), (1e4, 1e4, 1e4), (1.5, 1.5, 1.5), "a.nii.gz")
    assert str(raised.value).startswith(
        "a.nii.gz: voxels of 10000 x 10000 x 10000 mm would become 3413333 x 3413333 x 3413333 of 1.5 x 1.5 x 1.5 mm, "
        "which take 1.481e+11 GiB where memory is "
    )
    assert "mend the spacing in the image's header, or cut the image" in str(raised.value)


def test_planes_are_resampled_within():
    side = int(np.sqrt(memory_bytes() / 4)) + 2
    check_size((1, 1, 1000, 1000), (1e4, 1.5, 1.5), (1.5, 1.5), "a.nii.gz")
    with pytest.raises(HermesError, match=rf"would become 1 x {side} x {side} of 5 x 0.5 x 0.5 mm"):
        check_size((1, 1, side, side), (5, 0.5, 0.5), (0.5, 0.5), "a.nii.gz")
