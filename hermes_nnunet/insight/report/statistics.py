"""Numbers of the report's Dice table."""

import math
import statistics
from dataclasses import dataclass

from hermes_nnunet.core.dice import CaseDice, mean_of_defined


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
    tasks = dict.fromkeys(task for dice in cases.values() for task in dice)
    return {
        task: TaskDice(tuple(sorted(d[task] for d in cases.values() if not math.isnan(d.get(task, math.nan)))))
        for task in tasks
    }


def best_and_worst(cases: CaseDice) -> tuple[str, ...]:
    """The cases with the highest and the lowest mean Dice over their tasks; one where they are the same, or none."""
    means = {case: mean_of_defined(dice.values()) for case, dice in cases.items()}
    defined = sorted((case for case in means if not math.isnan(means[case])), key=lambda case: means[case])
    return tuple(dict.fromkeys((defined[-1], defined[0]))) if defined else ()
