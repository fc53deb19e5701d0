import numpy as np

from hermes_nnunet.preprocessing.intensity import clip_intensities, default_intensity_clipping


def clipped(image, modality):
    image = np.array(image, dtype=np.float32)
    clip_intensities(image, modality, default_intensity_clipping())
    return image


def test_ct_is_clipped_to_hounsfield_units():
    assert clipped([-3000, -991, 0, 500, 3000], "CT").tolist() == [-991, -991, 0, 500, 500]


def test_every_other_modality_is_clipped_to_its_own_percentiles():
    image = np.arange(1001)
    for modality in ("T1", "PET", "unknown"):
        result = clipped(image, modality)
        assert (result.min(), result.max()) == (20, 980)
        assert np.array_equal(result[20:981], image[20:981])
