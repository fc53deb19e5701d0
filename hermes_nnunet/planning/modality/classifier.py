"""Numbers of the plans that tell the modalities of a collection apart."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import Deviation, MemberLook
from hermes_nnunet.planning.modality.features import FEATURES
from hermes_nnunet.plans import PLANS_REMEDY
from hermes_nnunet.schema import OURS, Number, Text, Whole, checked

# Of the probability of a modality, below which it is not taken.
SURE = 0.8
# Of the distance to the nearest member. Images that a member of benchmarks/modality.py holds out are within 2.2, three
# of other data sets beyond 3.6; this limit, SURE and the number of features that count were chosen on these images.
FURTHEST = 3.0


@dataclass(frozen=True)
class ModalityClassifier:
    """Multinomial logistic regression over standardised features, and how far an image may be from all members.

    Attributes:
        features: names, in the order of all numbers.
        mean, scale: of the training cases; a feature is standardised as (feature - mean) / scale.
        modalities: names of the rows of `coefficients` and of `intercepts`.
        looks: of the members.
        tested, right: cases that the cross-validation told, and how many of them rightly.
        sure, furthest: see SURE and FURTHEST.
    """

    features: tuple[Text, ...]
    mean: tuple[Number, ...]
    scale: tuple[Deviation, ...]
    modalities: tuple[Text, ...]
    coefficients: tuple[tuple[Number, ...], ...]
    intercepts: tuple[Number, ...]
    looks: tuple[MemberLook, ...]
    tested: Whole
    right: Whole
    sure: Number = SURE
    furthest: Number = FURTHEST

    __pydantic_config__ = OURS

    def probabilities(self, features: np.ndarray, among: Collection[str] | None = None) -> np.ndarray:
        """Of each modality; `features` (..., F) gives (..., modalities).

        Args:
            among: the modalities that the image can be of, others have 0; None for all.
        """
        scores = (features - self.mean) / self.scale @ np.transpose(self.coefficients) + self.intercepts
        if among is not None:
            scores = np.where([name in among for name in self.modalities], scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def to_json(self) -> dict[str, Any]:
        """For the plans: numbers and names only."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> "ModalityClassifier":
        """The inverse of `to_json`.

        Raises:
            HermesError: it is damaged, or of other features than this release measures; `where` names the plans.
        """
        classifier = checked(cls, content, where, PLANS_REMEDY, inside="hermes.modality_classifier")
        classifier._check_sizes(where)
        if classifier.features != FEATURES:
            raise HermesError(
                f"modality_classifier of {where} is of another release, which measured other features: name the "
                f"modality of the images, or {PLANS_REMEDY}"
            )
        return classifier

    def _check_sizes(self, where: str) -> None:
        width, height = len(self.features), len(self.modalities)
        rows = [
            self.mean,
            self.scale,
            *self.coefficients,
            *(row for look in self.looks for row in (look.mean, look.deviation)),
        ]
        heights = [len(self.coefficients), len(self.intercepts)]
        if any(len(row) != width for row in rows) or any(own != height for own in heights):
            raise HermesError(
                f"{where}: hermes.modality_classifier has {width} features and {height} modalities, but lists of other "
                f"lengths: {PLANS_REMEDY}"
            )
        if {look.modality for look in self.looks} != set(self.modalities):
            raise HermesError(
                f"{where}: the looks of hermes.modality_classifier are not those of its modalities: {PLANS_REMEDY}"
            )
