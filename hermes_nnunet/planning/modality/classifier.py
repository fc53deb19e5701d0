"""Which modality an image is of, from numbers that the plans hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.errors import HermesError
from hermes_nnunet.looks import OUT_OF_PLACE, Deviation, MemberLook
from hermes_nnunet.planning.modality.features import FEATURES, image_features
from hermes_nnunet.plans import PLANS_REMEDY, HermesPlans
from hermes_nnunet.schema import OURS, Number, Text, Whole, checked

# Of the probability of a modality, below which it is not taken.
SURE = 0.8
# Of the distance to the nearest member. Images that a member of benchmarks/modality.py holds out are within 2.2, three
# of other data sets beyond 3.6; this limit, SURE and the number of features below were chosen on these images.
FURTHEST = 3.0
_DIGITS = 4


@dataclass(frozen=True)
class FoundModality:
    """What an image was found to be.

    Attributes:
        modality: "unknown" where the image resembles no member.
        probability: of the modality; None where that is so.
        runner_up: the next likely modality, with its own probability; None where there is no other.
        by: "header" of DICOM, "image" (its intensities and geometry), or "network".
        sure: whether to go on with it without asking.
        remark: what people should read, or empty.
    """

    modality: str
    probability: float | None
    runner_up: str | None
    runner_up_probability: float
    by: str
    sure: bool = True
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """The arguments of one that was sure."""
        return {
            "modality": self.modality,
            "probability": None if self.probability is None else round(self.probability, _DIGITS),
            "runner_up": self.runner_up,
            "runner_up_probability": round(self.runner_up_probability, _DIGITS),
            "by": self.by,
        }

    @property
    def in_words(self) -> str:
        """ "CT (0.98; T1 0.02)"; of one that is not sure with the remark."""
        parts = [] if self.probability is None else [f"{self.probability:.2f}"]
        parts += [] if self.runner_up is None else [f"{self.runner_up} {self.runner_up_probability:.2f}"]
        words = f"{self.modality} ({'; '.join(parts)})" if parts else self.modality
        return words if self.sure or not self.remark else f"{words}, {self.remark}"


@dataclass(frozen=True)
class ModalityClassifier:
    """Multinomial logistic regression over standardised features, and how far an image may be from all members.

    A modality that an addition has brought is none of the regression's. Whether an image is of it is told by the
    distances to the looks, and the regression tells between the others.

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
        scores = (features - self.mean) / self.scale @ np.transpose(self.coefficients) + self.intercepts
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def of_image(
        self, image: np.ndarray, spacing: Sequence[float], name: str, among: Collection[str] | None = None
    ) -> FoundModality:
        """Find the modality of one channel (D, H, W) with a spacing z, y, x in mm.

        Args:
            name: of the image, in messages.
            among: the modalities that it can be of; None for all.

        Raises:
            HermesError: nothing can be told of the image, see `image_features`.
        """
        return self.of_features(image_features(image, spacing, name), name, among)

    def of_features(self, features: np.ndarray, name: str, among: Collection[str] | None = None) -> FoundModality:
        """The same from features (F,)."""
        looks = [look for look in self.looks if among is None or look.modality in among]
        distances = [look.distance(features) for look in looks]
        distance = min(distances)
        nearest = looks[distances.index(distance)]
        ranked = self._ranked(features, looks, distances)
        if distance > self.furthest:
            remark = (
                f"{name} resembles no image that the model was trained on (the nearest are {nearest.modality} of "
                f"{nearest.member}, {distance:.1f} standard deviations away; {self.furthest:g} is the limit), so its "
                f"modality is taken for '{UNKNOWN_MODALITY}': name it, or check the result"
            )
            likeliest, probability = ranked[0]
            return FoundModality(UNKNOWN_MODALITY, None, likeliest, probability, "image", remark=remark)
        (modality, probability), *others = ranked
        runner_up, its_probability = others[0] if others else (None, 0.0)
        # Of an image that was cropped the regression may be sure of something else than all that the image is near to.
        agree = nearest.modality == modality
        sure = agree and probability >= self.sure
        remark = "" if agree else f"though the nearest images are {nearest.modality} of {nearest.member}"
        return FoundModality(modality, probability, runner_up, its_probability, "image", sure, remark)

    def _ranked(
        self, features: np.ndarray, looks: Sequence[MemberLook], distances: Sequence[float]
    ) -> list[tuple[str, float]]:
        """Modalities of the looks with their probability, the likeliest first."""
        of_regression = dict(zip(self.modalities, self.probabilities(features).tolist(), strict=True))
        nearest: dict[str | None, float] = {}  # None for all modalities of the regression
        for look, distance in zip(looks, distances, strict=True):
            group = None if look.modality in of_regression else look.modality
            nearest[group] = min(distance, nearest.get(group, distance))
        closest = min(nearest.values())
        # As of normal distributions with the same deviations, of the features that count.
        shares = {
            group: float(np.exp(OUT_OF_PLACE * (closest**2 - distance**2) / 2)) for group, distance in nearest.items()
        }
        total = sum(shares.values())
        possible = {look.modality for look in looks}
        within = {name: share for name, share in of_regression.items() if name in possible}
        probabilities = {group: share / total for group, share in shares.items() if group is not None}
        for name, share in within.items():
            probabilities[name] = shares[None] / total * share / sum(within.values())
        return sorted(probabilities.items(), key=lambda named: -named[1])

    def to_json(self) -> dict[str, Any]:
        """For the plans: numbers and names only."""
        return asdict(self)

    @classmethod
    def of_plans(cls, plans: HermesPlans, where: str) -> "ModalityClassifier":
        """That of a model, which knows what its additions' images look like, too; see `can_find_modality`.

        Raises:
            HermesError: see `from_json`.
        """
        assert plans.modality_classifier is not None
        classifier = cls.from_json(plans.modality_classifier, where)
        added = [look for own in plans.additions if own.looks is not None for look in own.looks.of_modalities]
        return replace(classifier, looks=(*classifier.looks, *added))

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
