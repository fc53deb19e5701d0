"""Which modality an image is of, from numbers that the plans hold."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.modality.features import FEATURES, image_features
from hermes_nnunet.plans import PLANS_REMEDY

# Of the probability of a modality, below which it is not taken.
SURE = 0.8
# Of the distance to the nearest member, in standard deviations; the members' own images are at 1.1 at most.
FURTHEST = 1.5
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
        return {
            "modality": self.modality,
            "probability": None if self.probability is None else round(self.probability, _DIGITS),
            "runner_up": self.runner_up,
            "runner_up_probability": round(self.runner_up_probability, _DIGITS),
            "by": self.by,
        }

    @property
    def in_words(self) -> str:
        """ "CT (0.98; T1 0.02)"."""
        parts = [] if self.probability is None else [f"{self.probability:.2f}"]
        parts += [] if self.runner_up is None else [f"{self.runner_up} {self.runner_up_probability:.2f}"]
        return f"{self.modality} ({'; '.join(parts)})" if parts else self.modality


@dataclass(frozen=True)
class MemberLook:
    """What the images of one modality of a member have in common: mean and deviation of each feature."""

    member: str
    modality: str
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distance(self, features: np.ndarray) -> float:
        """Root mean square over the features, in standard deviations."""
        return float(np.sqrt((((features - self.mean) / self.deviation) ** 2).mean()))


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

    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    modalities: tuple[str, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
    looks: tuple[MemberLook, ...]
    tested: int
    right: int
    sure: float = SURE
    furthest: float = FURTHEST

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
        possible = [place for place, known in enumerate(self.modalities) if among is None or known in among]
        probabilities = self.probabilities(features)[possible]
        order = np.argsort(-probabilities, kind="stable")
        ranked = [
            (self.modalities[possible[place]], float(probabilities[place] / probabilities.sum())) for place in order
        ]
        looks = [look for look in self.looks if among is None or look.modality in among]
        nearest = min(looks, key=lambda look: look.distance(features))
        distance = nearest.distance(features)
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
        near = any(look.distance(features) <= self.furthest for look in looks if look.modality == modality)
        sure = near and probability >= self.sure
        return FoundModality(modality, probability, runner_up, its_probability, "image", sure)

    def to_json(self) -> dict[str, Any]:
        """For the plans: numbers and names only."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> "ModalityClassifier":
        """The inverse of `to_json`.

        Raises:
            HermesError: it is damaged, or of other features than this release measures; `where` names the plans.
        """
        try:
            fields: dict[str, Any] = {key: _tuples(value) for key, value in content.items() if key != "looks"}
            looks = tuple(
                MemberLook(**{key: _tuples(value) for key, value in look.items()}) for look in content["looks"]
            )
            classifier = cls(**fields, looks=looks)
            classifier._check_sizes()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HermesError(f"modality_classifier of {where} is damaged ({error}): {PLANS_REMEDY}") from None
        if classifier.features != FEATURES:
            raise HermesError(
                f"modality_classifier of {where} is of another release, which measured other features: name the "
                f"modality of the images, or {PLANS_REMEDY}"
            )
        return classifier

    def _check_sizes(self) -> None:
        """Raises: ValueError where numbers are missing, or are no numbers."""
        width, height = len(self.features), len(self.modalities)
        rows = [
            self.mean,
            self.scale,
            *self.coefficients,
            *(part for look in self.looks for part in (look.mean, look.deviation)),
        ]
        numbers = np.array([*(tuple(row) for row in rows)], dtype=np.float64)
        if numbers.shape != (2 + height + 2 * len(self.looks), width) or len(self.intercepts) != height:
            msg = f"{width} features and {height} modalities, but other numbers of numbers"
            raise ValueError(msg)
        if not (np.isfinite(numbers).all() and np.isfinite(np.array(self.intercepts, dtype=np.float64)).all()):
            msg = "a number is not finite"
            raise ValueError(msg)
        if not self.looks or {look.modality for look in self.looks} != set(self.modalities):
            msg = "looks of other modalities"
            raise ValueError(msg)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
