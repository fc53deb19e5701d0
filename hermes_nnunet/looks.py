"""What the images of a member have in common, as numbers that plans and additions hold."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from hermes_nnunet.collection import Member
from hermes_nnunet.schema import OURS, Number, Text

# Features that count for the distance: of all, one that is out of place would be lost among those that are not.
_OUT_OF_PLACE = 5

Deviation = Annotated[Number, Field(gt=0)]


@dataclass(frozen=True)
class MemberLook:
    """What the images of one modality of a member have in common: mean and deviation of each feature."""

    member: Text
    modality: Text
    mean: tuple[Number, ...]
    deviation: tuple[Deviation, ...]

    __pydantic_config__ = OURS

    def distance(self, features: np.ndarray) -> float:
        """Root mean square over the features that are most out of place, in standard deviations."""
        squares = ((features - self.mean) / self.deviation) ** 2
        return float(np.sqrt(np.sort(squares)[-_OUT_OF_PLACE:].mean()))

    def log_density(self, features: np.ndarray) -> float:
        """Of a normal distribution, but for a constant; all but the features most out of place count as in place."""
        return -_OUT_OF_PLACE * self.distance(features) ** 2 / 2 - float(np.log(self.deviation).sum())


@dataclass(frozen=True)
class Looks:
    """What the images of a new member look like, for a model that it is added to.

    Attributes:
        features: names of what was measured.
        of_modalities: a look for each of the member's modalities.
    """

    features: tuple[Text, ...]
    of_modalities: Annotated[tuple[MemberLook, ...], Field(min_length=1)]

    __pydantic_config__ = OURS

    def __post_init__(self) -> None:
        """Raises: ValueError where a look has not a number for each feature."""
        rows = [row for look in self.of_modalities for row in (look.mean, look.deviation)]
        if any(len(row) != len(self.features) for row in rows):
            msg = f"there are {len(self.features)} features, but lists of other lengths"
            raise ValueError(msg)

    def are_of(self, member: Member) -> bool:
        """Whether there is a look for each modality of a member, and no other."""
        of_member = sorted((member.name, modality) for modality in member.modalities)
        return sorted((look.member, look.modality) for look in self.of_modalities) == of_member
