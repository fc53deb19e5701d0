import numpy as np
import pytest
import torch
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet

from hermes_nnunet.planning.resampling.images import resample_linear

# spacing and size of an image that comes to 1.5 mm
IMAGES = {
    "isotropic": ((1.0, 0.8, 0.9), (20, 22, 24)),
    "thick slices": ((10.0, 1.0, 1.2), (7, 22, 24)),
    "thick slices, in-plane as wanted": ((10.0, 1.5, 1.5), (10, 22, 24)),
    "thick along the last axis": ((1.0, 0.8, 7.0), (20, 22, 6)),
    "as wanted": ((1.5, 1.5, 1.5), (8, 9, 10)),
}
WANTED = (1.5, 1.5, 1.5)


@pytest.mark.parametrize("image", IMAGES)
class TestResampleLinear:
    def arguments(self, image):
        spacing, shape = IMAGES[image]
        return [round(n * own / 1.5) for n, own in zip(shape, spacing, strict=True)], spacing, WANTED

    def test_an_image_is_that_of_nnunet(self, image):
        data = np.random.default_rng(0).normal(size=(2, *IMAGES[image][1])).astype(np.float32)
        ours = resample_linear(data, *self.arguments(image))
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, resample_torch_fornnunet(data, *self.arguments(image)), rtol=0, atol=1e-4)

    def test_a_label_map_is_that_of_nnunet_but_for_ties(self, image):
        labels = np.random.default_rng(0).integers(-1, 150, size=(1, *[n // 2 for n in IMAGES[image][1]]))
        labels = labels.repeat(2, 1).repeat(2, 2).repeat(2, 3).astype(np.float32)
        ours = resample_linear(labels, *self.arguments(image), is_seg=True)
        stock = resample_torch_fornnunet(labels, *self.arguments(image), is_seg=True)
        assert ours.dtype == np.int16
        assert ours.shape == stock.shape
        # nnU-Net compares shares in half precision.
        assert (ours != stock).mean() < 2e-3


class TestThickSlices:
    DATA = np.random.default_rng(0).normal(size=(1, 7, 22, 24)).astype(np.float32)
    ARGUMENTS = (47, 22, 24), (10.0, 1.5, 1.5), WANTED

    def test_are_repeated(self):
        assert len(np.unique(resample_linear(self.DATA, *self.ARGUMENTS)[0, :, 0, 0])) == 7

    def test_are_interpolated_where_plans_say_so(self):
        ours = resample_linear(self.DATA, *self.ARGUMENTS, force_separate_z=False)
        stock = resample_torch_fornnunet(self.DATA, *self.ARGUMENTS, force_separate_z=False)
        np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-4)
        assert len(np.unique(ours[0, :, 0, 0])) > 7


def test_memory_does_not_grow_with_the_number_of_labels():
    labels = np.arange(100, dtype=np.int16).reshape(1, 5, 5, 4).repeat(4, 1).repeat(4, 2).repeat(4, 3)
    arguments = (40, 40, 32), (3.0, 3.0, 3.0), WANTED
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        resampled = resample_linear(labels, *arguments, is_seg=True)
    assert len(np.unique(resampled)) == 100
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest <= 4 * resampled.size  # one volume in float32
