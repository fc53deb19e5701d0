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


@dataclass(frozen=True)
class FoundModality:
    """What an image was found to be.

    Attributes:
        modality: "unknown" where the image resembles no member.
        probability: of the modality; of the likeliest where the image resembles none.
        runner_up: the next likely modality, with its own probability; None where there is no other.
        by: "header" of DICOM, "image" (its intensities and geometry), or "network".
        sure: whether to go on with it without asking.
        remark: what people should read, or empty.
    """

    modality: str
    probability: float
    runner_up: str | None
    runner_up_probability: float
    by: str
    sure: bool = True
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "modality": self.modality,
            "probability": round(self.probability, 4),
            "runner_up": self.runner_up,
            "runner_up_probability": round(self.runner_up_probability, 4),
            "by": self.by,
        }

    @property
    def in_words(self) -> str:
        """ "CT (0.98; T1 0.02)"."""
        then = "" if self.runner_up is None else f"; {self.runner_up} {self.runner_up_probability:.2f}"
        return f"{self.modality} ({self.probability:.2f}{then})"


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
        shares = probabilities[order] / probabilities.sum()
        names = [self.modalities[possible[place]] for place in order]
        runner_up, its_share = (names[1], float(shares[1])) if len(names) > 1 else (None, 0.0)
        found = FoundModality(names[0], float(shares[0]), runner_up, its_share, "image")
        distances = {look: look.distance(features) for look in self.looks if among is None or look.modality in among}
        nearest = min(distances, key=distances.__getitem__)
        if distances[nearest] > self.furthest:
            remark = (
                f"{name} resembles no image that the model was trained on (the nearest are {nearest.modality} of "
                f"{nearest.member}, at {distances[nearest]:.1f} standard deviations, {self.furthest:g} are usual), so "
                f"its modality is taken for '{UNKNOWN_MODALITY}': name it, or check the result"
            )
            return FoundModality(UNKNOWN_MODALITY, *_rest(found), "image", remark=remark)
        near_enough = any(
            distance <= self.furthest for look, distance in distances.items() if look.modality == found.modality
        )
        sure = found.probability >= self.sure and near_enough
        return FoundModality(found.modality, *_rest(found), "image", sure)

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


def _rest(found: FoundModality) -> tuple[float, str | None, float]:
    return found.probability, found.runner_up, found.runner_up_probability


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
