"""The modality words that a merge knows, to which it may add others on purpose; which channels are CT."""

from collections.abc import Mapping

from hermes_nnunet.collection import UNKNOWN_MODALITY, Member
from hermes_nnunet.errors import HermesError

CT = "CT"
MR_MODALITIES = (
    "MRI",
    "T1",
    "T1c",
    "T2",
    "FLAIR",
    "PD",
    "DWI",
    "ADC",
    "SWI",
    "MRA",
    "cineMRI",
    "LGE-MRI",
)
KNOWN_MODALITIES = (CT, "PET", "SPECT", "US", *MR_MODALITIES, UNKNOWN_MODALITY)

ONE_CHANNEL_REMEDY = "choose one with channel:, or make each a case of its own with channels:, in a YAML file"


def channels_named_ct(channel_names: Mapping[str, str]) -> tuple[int, ...]:
    """Channels that are CT by nnU-Net's rule, which looks at their names."""
    return tuple(number for number, name in enumerate(channel_names.values()) if name.casefold() == CT.casefold())


def ct_channels(members: Mapping[str, Member]) -> tuple[int, ...] | None:
    """Which channels of the members' CT images are CT; None for all of them.

    They are all where an image has one channel, or none of several is named CT.

    Raises:
        HermesError: these are not the same in all members, while the network is told no more than "CT".
    """
    named = {
        name: channels_named_ct(member.channel_names)
        for name, member in members.items()
        if CT in member.channels and member.channels[CT] is None and len(member.channel_names) > 1
    }
    if len(set(named.values())) > 1:
        places = ", ".join(f"{name}: {' and '.join(map(str, own)) or 'none'}" for name, own in named.items())
        raise HermesError(
            f"members differ in which of their channels are named CT ({places}), but one network takes all CT images "
            f"alike: give them the same order and names in their dataset.json, or {ONE_CHANNEL_REMEDY}"
        )
    return next(iter(named.values()), ()) or None
