"""Numbers of the plans that tell the modalities of a collection apart."""

from collections.abc import Container, Mapping
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
# of other data sets beyond 3.6; this limit, SURE and the number of features below were chosen on these images.
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

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Of each modality; `features` (..., F) gives (..., modalities)."""
        return _softmax(self._scores(features))

    def probabilities_among(self, features: np.ndarray, possible: Container[str]) -> dict[str, float]:
        """Of some modalities, for features (F,) of an image that is of one of them."""
        names = [name for name in self.modalities if name in possible]
        scores = self._scores(features)[[self.modalities.index(name) for name in names]]
        return dict(zip(names, _softmax(scores).tolist(), strict=True))

    def _scores(self, features: np.ndarray) -> np.ndarray:
        return (features - self.mean) / self.scale @ np.transpose(self.coefficients) + self.intercepts

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


def _softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
