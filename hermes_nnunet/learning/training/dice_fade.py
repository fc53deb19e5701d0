"""How the Dice loss changes from the logarithm, which finds small tasks, to the plain Dice, which delineates better."""

from dataclasses import dataclass

SHARE = 0.25
FEWEST_BATCHES = 1000


@dataclass(frozen=True)
class DiceFade:
    """HermesLoss' exponent in every epoch: from `first` to `last` in equal steps, then `last`.

    The change takes a quarter of the training, so that most of it delineates, but at least 1000 batches, in which small
    tasks are found; or all of a shorter training.

    Attributes:
        first, last: exponents.
        epochs: length of the training.
        batches: of an epoch.
    """

    first: float
    last: float
    epochs: int
    batches: int

    @property
    def length(self) -> float:
        """Epochs that the change takes."""
        return min(self.epochs - 1, max(SHARE * self.epochs, FEWEST_BATCHES / self.batches))

    def exponent(self, epoch: int) -> float:
        """That of an epoch, the first of which is 0."""
        done = min(1.0, epoch / self.length) if self.length > 0 else 0.0
        return self.first + (self.last - self.first) * done

    def __str__(self) -> str:
        return (
            f"exponent of the Dice loss: {self.first:g} to {self.last:g} in {self.length:.4g} of {self.epochs} epochs"
        )
