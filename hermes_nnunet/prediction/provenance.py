"""What made a segmentation: all that the values of its voxels depend on, beside the image."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hermes_nnunet.core.digests import digest_of_file, digest_of_json
from hermes_nnunet.prediction.model_folder import ModelFolder

_DIGITS = 16


@dataclass(frozen=True)
class Provenance:
    """A model and the options that change what it predicts.

    Attributes:
        weights: sha256 of each file of weights, by fold, in the order in which they are averaged.
        model: sha256 of what plans.json and dataset.json say.
        options: name -> value, as JSON holds it; contexts and labels are not among them.
    """

    weights: Mapping[str, str]
    model: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, model: ModelFolder, **options: Any) -> "Provenance":
        """Read all weights once, which takes about a second for a gigabyte.

        Raises:
            OSError: a file cannot be read.
        """
        weights = {
            fold: digest_of_file(path) for fold, path in zip(model.folds, model.checkpoints, strict=True)
        }  # fmt: skip
        return cls(weights, digest_of_json([model.plans, model.dataset_json]), options)

    @cached_property
    def hash(self) -> str:
        """The same for the same prediction of an image, and for no other."""
        # In the order of the folds, for sums are rounded.
        return digest_of_json([list(self.weights.items()), self.model, dict(self.options)])[:_DIGITS]

    def to_json(self) -> dict[str, Any]:
        return {"weights": dict(self.weights), "model": self.model, "options": dict(self.options)}

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """In which words another `to_json` differs: "folds", "weights", "plans", or options by name."""
        weights, options = other.get("weights"), other.get("options")
        words = []
        if not isinstance(weights, Mapping) or list(weights) != list(self.weights):
            words.append("folds")
        elif dict(weights) != dict(self.weights):
            words.append("weights")
        if other.get("model") != self.model:
            words.append("plans")
        if not isinstance(options, Mapping):
            return [*words, "options"]
        return words + [name for name in self.options if options.get(name) != self.options[name]]
