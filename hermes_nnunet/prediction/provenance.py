"""What made a segmentation: all that the values of its voxels depend on, beside the image."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hermes_nnunet.prediction.model_folder import ModelFolder

_DIGITS = 16
_BUFFER = 2**20


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
            fold: _hash_of_file(path) for fold, path in zip(model.folds, model.checkpoints, strict=True)
        }  # fmt: skip
        return cls(weights, _hash_of([model.plans, model.dataset_json]), options)

    @cached_property
    def hash(self) -> str:
        """The same for the same prediction of an image, and for no other."""
        # In the order of the folds, for sums are rounded.
        return _hash_of([list(self.weights.items()), self.model, dict(self.options)])[:_DIGITS]

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


def _hash_of(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_BUFFER):
            digest.update(part)
    return digest.hexdigest()
