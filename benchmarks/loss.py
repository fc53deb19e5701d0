"""What does the loss of all (case, task) pairs cost, against the same formula written plainly with one-hot targets?

Forward and backward pass of binary cross-entropy and adaptive Dice. Memory is the peak above the logits and the label
map. Gradients of both have to agree.

    python benchmarks/loss.py                               (2 x 23 x 64^3 on the CPU)
    python benchmarks/loss.py --device cuda --size 128      (bfloat16 logits, as under autocast)
"""

import argparse
from collections.abc import Callable, Sequence

import torch
from measuring import Row, median_seconds, parser, peak_megabytes, report
from torch.nn import functional

from hermes_nnunet.learning.loss.hermes_loss import HermesLoss, adaptive_dice_loss


def plain_loss(logits: torch.Tensor, labels: torch.Tensor, tasks: torch.Tensor) -> torch.Tensor:
    """The loss as its formula reads: a target volume of each (case, task), and PyTorch's own functions."""
    values = (tasks + 1)[:, :, None, None, None]  # task t is label value t + 1, as in `measure`
    target = (labels == values).to(torch.float32)
    logits = logits.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(2, 3, 4))
    probability = torch.sigmoid(logits)
    true_positive, false_positive, false_negative = (
        part.sum(dim=(2, 3, 4))
        for part in (probability * target, probability * (1 - target), (1 - probability) * target)
    )
    return (entropy + adaptive_dice_loss(true_positive, false_positive, false_negative)).mean()


def measure(arguments: argparse.Namespace) -> list[Row]:
    """One row."""
    torch.manual_seed(0)
    device, (batch, tasks, size) = arguments.device, (arguments.batch, arguments.tasks, arguments.size)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    logits = torch.randn(batch, tasks, size, size, size, device=device).to(dtype).requires_grad_()
    blocks = torch.randint(0, tasks + 1, (batch, 1, *[max(1, size // 8)] * 3)).float()
    labels = functional.interpolate(blocks, size=(size,) * 3).to(device, torch.int16)  # as nnU-Net loads them
    index = torch.arange(tasks, device=device).expand(batch, -1)
    loss = HermesLoss([[task + 1] for task in range(tasks)], unknown_modality=0).to(device)

    def hermes_loss(logits: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        terms, _ = loss.segmentation_terms(logits, labels, index)
        return terms.mean()

    def passes(formula: Callable[..., torch.Tensor]) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(formula(logits, labels, index), logits)
        return gradient

    gradients = {name: passes(formula) for name, formula in (("plain", plain_loss), ("hermes", hermes_loss))}
    scale = gradients["plain"].abs().max()
    difference = ((gradients["plain"] - gradients["hermes"]).abs().max() / scale).item()
    del gradients
    sides = {"plain": lambda: passes(plain_loss), "hermes": lambda: passes(hermes_loss)}
    seconds = median_seconds(sides, arguments.repeats, device)
    memory = {name: peak_megabytes(side, device) for name, side in sides.items()}
    return [
        {
            "logits": f"{batch} x {tasks} x {size}^3",
            "plain s": seconds["plain"],
            "hermes s": seconds["hermes"],
            "times faster": seconds["plain"] / seconds["hermes"],
            "plain MB": memory["plain"],
            "hermes MB": memory["hermes"],
            "memory ratio": memory["hermes"] / memory["plain"],
            "gradient difference": difference,
        }
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/loss*.json."""
    made = parser(__doc__, repeats=7)
    made.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    made.add_argument("--batch", type=int, default=2)
    made.add_argument("--tasks", type=int, default=23)
    made.add_argument("--size", type=int, default=64, help="voxels an axis")
    arguments = made.parse_args(argv)
    name = "loss" if arguments.device.type == "cpu" else f"loss_{arguments.device.type}"
    report(name, __doc__, {"device": str(arguments.device)}, measure(arguments), arguments)


if __name__ == "__main__":
    main()
