"""Which modality an image is of, by what the images of a model's members look like."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.looks import MemberLook
from hermes_nnunet.planning.modality.classifier import ModalityClassifier
from hermes_nnunet.planning.modality.features import image_features
from hermes_nnunet.plans import HermesPlans

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
        left_to_network: whether it is between the two alone, and a network that was trained on both may choose.
    """

    modality: str
    probability: float | None
    runner_up: str | None
    runner_up_probability: float
    by: str
    sure: bool = True
    remark: str = ""
    left_to_network: bool = False

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
class ModalityFinder:
    """Finds the modality of an image among those of a model.

    The regression of a collection knows nothing of what additions have brought. Whether an image is one of theirs is
    told by how likely it is with their looks and with those of the collection's members; the regression tells between
    the modalities of the collection. If the nearest images are of another modality, nothing is sure.

    Attributes:
        classifier: of the collection.
        added: looks of additions.
    """

    classifier: ModalityClassifier
    added: tuple[MemberLook, ...] = ()

    @classmethod
    def of_plans(cls, plans: HermesPlans, where: str) -> "ModalityFinder":
        """That of a model which can find modalities (see HermesPlans); `where` names its plans.

        Raises:
            HermesError: see ModalityClassifier.
        """
        assert plans.modality_classifier is not None
        classifier = ModalityClassifier.from_json(plans.modality_classifier, where)
        looks = (own.looks.of_modalities for own in plans.additions if own.looks is not None)
        return cls(classifier, tuple(look for own in looks for look in own))

    @property
    def sure(self) -> float:
        """Probability from which on a modality is taken."""
        return self.classifier.sure

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
        base, added = (_possible(looks, among) for looks in (self.classifier.looks, self.added))
        nearest = min((*base, *added), key=lambda look: look.distance(features))
        distance = nearest.distance(features)
        (modality, probability), *others = self._ranked(features, base, added)
        if distance > self.classifier.furthest:
            remark = (
                f"{name} resembles no image that the model was trained on (the nearest are {nearest.modality} of "
                f"{nearest.member}, {distance:.1f} standard deviations away; {self.classifier.furthest:g} is the "
                f"limit), so its modality is taken for '{UNKNOWN_MODALITY}': name it, or check the result"
            )
            return FoundModality(UNKNOWN_MODALITY, None, modality, probability, "image", remark=remark)
        runner_up, its_probability = others[0] if others else (None, 0.0)
        # Of an image that was cropped the regression may be sure of something else than all that the image is near to.
        agree = nearest.modality == modality
        remark = "" if agree else f"though the nearest images are {nearest.modality} of {nearest.member}"
        # A modality that is called unknown was never the network's to tell.
        of_network = {*self.classifier.modalities} - {UNKNOWN_MODALITY}
        left = probability < self.sure <= probability + its_probability
        return FoundModality(
            modality,
            probability,
            runner_up,
            its_probability,
            "image",
            sure=agree and probability >= self.sure,
            remark=remark,
            left_to_network=left and {modality, runner_up} <= of_network and nearest in base,
        )

    def _ranked(
        self, features: np.ndarray, base: Sequence[MemberLook], added: Sequence[MemberLook]
    ) -> list[tuple[str, float]]:
        """Modalities of looks with their probability, the likeliest first."""
        densities = [max(look.log_density(features) for look in base)] if base else []
        densities += [look.log_density(features) for look in added]
        shares = np.exp(np.array(densities) - max(densities))
        shares = (shares / shares.sum()).tolist()
        probabilities: dict[str, float] = defaultdict(float)
        if base:
            possible = {look.modality for look in base}
            of_base = self.classifier.probabilities(features, possible).tolist()
            for modality, probability in zip(self.classifier.modalities, of_base, strict=True):
                if modality in possible:
                    probabilities[modality] += shares[0] * probability
        for look, share in zip(added, shares[len(shares) - len(added) :], strict=True):
            probabilities[look.modality] += share
        return sorted(probabilities.items(), key=lambda named: -named[1])


def _possible(looks: Sequence[MemberLook], among: Collection[str] | None) -> list[MemberLook]:
    return [look for look in looks if among is None or look.modality in among]
