"""What environment variables say of predictions, for nnU-Net's commands, which have no options for it."""

import os

from hermes_nnunet.errors import HermesError

MODALITY_VARIABLE = "HERMES_MODALITY"
ALL_MODALITIES_VARIABLE = "HERMES_ALL_MODALITIES"
# Word for a modality that is found by the image.
AUTO = "auto"
_SWITCH = {"": False, "0": False, "false": False, "1": True, "true": True}


def modality_override() -> str | None:
    """The modality that the environment variable HERMES_MODALITY names; None where it is not set, or "auto"."""
    modality = os.environ.get(MODALITY_VARIABLE)
    return None if modality in (None, "", AUTO) else modality


def all_modalities_override() -> bool:
    """Whether the environment variable HERMES_ALL_MODALITIES wants tasks that never saw the images' modality, too.

    Raises:
        HermesError: it is neither a yes nor a no.
    """
    word = os.environ.get(ALL_MODALITIES_VARIABLE, "")
    if word.lower() not in _SWITCH:
        raise HermesError(f"{ALL_MODALITIES_VARIABLE}={word} is neither 1 nor 0: set it to one of them, or unset it")
    return _SWITCH[word.lower()]
