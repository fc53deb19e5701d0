"""Numbers of the report's Dice table."""

import math
import statistics
from dataclasses import dataclass

from hermes_nnunet.core.dice import CaseDice, defined_by_task, mean_of_defined
from hermes_nnunet.core.expected_dice import ExpectedDice


@dataclass(frozen=True)
class TaskDice:
    """Dice of one task in the cases where it is defined, ascending."""

    values: tuple[float, ...]

    @property
    def cases(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return mean_of_defined(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation of the sample; nan for fewer than two cases."""
        known = ExpectedDice.of(self.values)
        return math.nan if known is None or known.deviation is None else known.deviation

    @property
    def median(self) -> float:
        return statistics.median(self.values) if self.values else math.nan

    @property
    def lowest(self) -> float:
        return self.values[0] if self.values else math.nan

    @property
    def highest(self) -> float:
        return self.values[-1] if self.values else math.nan


def dice_by_task(cases: CaseDice) -> dict[str, TaskDice]:
    """Statistics of every task of a member; a case where neither reference nor prediction shows it is left out."""
    return {task: TaskDice(tuple(values)) for task, values in defined_by_task(cases).items()}


def best_and_worst(cases: CaseDice) -> tuple[str, ...]:
    """The cases with the highest and the lowest mean Dice over their tasks; one where they are the same, or none."""
    means = {case: mean_of_defined(dice.values()) for case, dice in cases.items()}
    defined = sorted((case for case in means if not math.isnan(means[case])), key=lambda case: means[case])
    return tuple(dict.fromkeys((defined[-1], defined[0]))) if defined else ()
