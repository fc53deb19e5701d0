import numpy as np
import pytest

from hermes_nnunet.planning.preprocessing.intensity import (
    clip_intensities,
    default_intensity_clipping,
    fixed_normalization,
    intensity_rule,
)


def clipped(image, modality):
    image = np.array(image, dtype=np.float32)
    clip_intensities(image, intensity_rule(modality, default_intensity_clipping()))
    return image


def test_ct_is_clipped_to_hounsfield_units():
    assert clipped([-3000, -991, 0, 500, 3000], "CT").tolist() == [-991, -991, 0, 500, 500]


def test_every_other_modality_is_clipped_to_its_own_percentiles():
    image = np.arange(1001)
    for modality in ("T1", "PET", "unknown"):
        result = clipped(image, modality)
        assert (result.min(), result.max()) == (20, 980)
        assert np.array_equal(result[20:981], image[20:981])


def test_a_rule_with_mean_and_deviation_gives_one_density_one_value_in_every_image():
    normalization = fixed_normalization({"range": [-100, 1500], "mean": 200, "std": 400})
    with_air, without = ([-1000, -1000, 50, 800, 3000], [50, 800])
    voxels = normalization.run(np.array(with_air, np.float32))
    assert voxels.tolist() == pytest.approx([-0.75, -0.75, -0.375, 1.5, 3.25])
    assert normalization.run(np.array(without, np.float32)).tolist() == voxels[2:4].tolist()


@pytest.mark.parametrize("rule", [{"range": [-991, 500]}, {"percentiles": [2, 98]}])
def test_a_rule_without_them_leaves_an_image_its_own(rule):
    assert fixed_normalization(rule) is None
