from dataclasses import replace

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.modalities import ct_channels


@pytest.fixture
def of_channels(collection):
    """A function that gives members of CT, all of whose images have channels of these names."""

    def make(**names):
        return {
            member: replace(
                collection.members["abdomen"],
                name=member,
                channels={"CT": None},
                channel_names={str(number): channel for number, channel in enumerate(channels)},
            )
            for member, channels in names.items()
        }

    return make


class TestChannelsOfCTImages:
    @pytest.mark.parametrize(
        ("names", "found"),
        [(("CT", "PET"), (0,)), (("PET", "ct"), (1,)), (("CT", "CT"), (0, 1)), (("a", "b"), None), (("image",), None)],
    )
    def test_are_those_that_nnunet_takes_for_ct(self, of_channels, names, found):
        assert ct_channels(of_channels(a=names, b=names)) == found

    def test_of_members_that_take_one_channel_are_all(self, collection):
        assert ct_channels(collection.members) is None

    def test_that_differ_are_told(self, of_channels):
        with pytest.raises(HermesError, match=r"named CT \(a: 0, b: 1\), .* channel:, or .* channels:"):
            ct_channels(of_channels(a=("CT", "PET"), b=("PET", "CT")))
