import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.weights.voxel_order import flip_kernels, flipped_axes


class TestAxes:
    def test_letters_are_those_of_x_y_z_and_axes_those_of_arrays(self):
        assert flipped_axes("RAS") == ()
        assert flipped_axes("LPS") == (1, 2)
        assert flipped_axes("LAS") == (2,)
        assert flipped_axes("RAI") == (0,)

    @pytest.mark.parametrize("order", ["PLS", "LP", "XYZ", "lps"])
    def test_other_words_are_refused(self, order):
        with pytest.raises(HermesError, match=f"voxel order '{order}'"):
            flipped_axes(order)


class TestFlipping:
    @settings(max_examples=2, deadline=None)
    @given(axes=st.sets(st.integers(0, 2), min_size=1))
    def test_flipped_weights_do_to_a_flipped_image_what_the_weights_do_to_the_image(
        self, network_class, network_sizes, axes
    ):
        torch.manual_seed(0)
        axes = sorted(axes)
        network = network_class(1, 3, **network_sizes).eval()
        network.set_context(ContextBatch(torch.tensor([[0, 2, -1]]), torch.tensor([0]), torch.tensor([0, 1])))
        image = torch.randn(1, 1, 32, 16, 16)
        dimensions = [axis + 2 for axis in axes]
        with torch.no_grad():
            expected = network(image)
            network.load_state_dict(flip_kernels(network.state_dict(), axes))
            flipped = network(image.flip(dimensions)).flip(dimensions)
            assert not torch.allclose(network(image), expected, atol=1e-3)
        torch.testing.assert_close(flipped, expected, rtol=1e-3, atol=1e-4)
