import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform

from hermes_nnunet.errors import HermesError
from hermes_nnunet.voxel_orders import OUR_ORDER, UNTURNED, Turn, keeps_axes, orders, turn_of


def in_order(array, order):
    """A copy of an array (D, H, W) in RAS as a file in `order` holds it, as nibabel turns it."""
    turn = ornt_transform(axcodes2ornt(tuple(OUR_ORDER)), axcodes2ornt(tuple(order)))
    return apply_orientation(array.T, turn).T


class TestTurns:
    def test_letters_are_those_of_i_j_k_and_axes_those_of_arrays(self):
        assert turn_of("RAS") == UNTURNED
        assert turn_of("LPS") == Turn(flipped=(1, 2))
        assert turn_of("RAI") == Turn(flipped=(0,))
        assert turn_of("SPR") == Turn(axes=(2, 1, 0), flipped=(1,))

    @given(st.sampled_from(orders(of_other_axes=True)))
    def test_a_turn_is_what_nibabel_does(self, order):
        array = np.arange(24).reshape(2, 3, 4)
        axes, flipped = turn_of(order)
        assert np.array_equal(np.flip(array.transpose(axes), flipped), in_order(array, order))

    @pytest.mark.parametrize("order", ["LP", "LPL", "XYZ", "lps", "LPSS"])
    def test_other_words_are_refused(self, order):
        with pytest.raises(HermesError, match=f"voxel order '{order}'"):
            turn_of(order)


class TestOrders:
    def test_there_are_48_of_which_8_keep_the_axes(self):
        every = orders(of_other_axes=True)
        assert len(set(every)) == 48
        assert [order for order in every if keeps_axes(order)] == orders(of_other_axes=False)
        assert all("".join(nibabel.orientations.ornt2axcodes(axcodes2ornt(order))) == order for order in every)
