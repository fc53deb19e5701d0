"""What Dice to expect of a task: that of cases which the training did not see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hermes_nnunet.core.dice import mean_of_defined

_DIGITS = 4


@dataclass(frozen=True)
class ExpectedDice:
    """Dice of the held-out cases of one task: what a model reaches in images of their kind, not in a certain image.

    Attributes:
        mean: over the cases.
        deviation: standard deviation of the sample; None for fewer than two cases, or where the cases are not known.
        cases: their number; None where only the mean is known.
    """

    mean: float
    deviation: float | None
    cases: int | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "ExpectedDice | None":
        """That of some cases with a defined Dice; None without any."""
        if not values:
            return None
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(mean_of_defined(values), deviation, len(values))

    def to_json(self) -> dict[str, Any]:
        """The arguments, rounded."""
        deviation = None if self.deviation is None else round(self.deviation, _DIGITS)
        return {"mean": round(self.mean, _DIGITS), "deviation": deviation, "cases": self.cases}


# Its key in files.
EXPECTED_DICE = "expected_dice"
# By task.
ExpectedOfTasks = Mapping[str, ExpectedDice]
