"""Second copies of preprocessed images, normalised as those of the unknown modality are.

Clipping by the modality's own rule takes away what the default rule needs (the air of a CT), so that the one cannot be
made from the other.
"""

from pathlib import Path

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.planning.preprocessing.intensity import intensity_rule
from hermes_nnunet.plans import HermesPlans

_SUFFIX = "_unknown"


def folder_of_copies(preprocessed: Path) -> Path:
    """Where the copies of a folder of preprocessed cases lie, with the names of the cases."""
    return preprocessed.with_name(preprocessed.name + _SUFFIX)


def needs_copy(plans: HermesPlans, modality: str) -> bool:
    """Whether an image looks different when it is told to be of the unknown modality."""
    rules = plans.intensity_clipping
    return intensity_rule(modality, rules) != intensity_rule(UNKNOWN_MODALITY, rules)
