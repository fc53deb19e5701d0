"""What does a training step of HermesUNet cost, against the plain network of the same plans?

Both are residual encoder U-Nets with deep supervision, same widths, patch, batch and optimizer; the plain one has 23
output channels and nnU-Net's Dice + cross-entropy, Hermes its fusion places, heads and loss. A step is forward, loss,
backward, clipping of gradients and AdamW; memory is its peak with the weights, once without and once with the two
numbers that AdamW keeps for each weight.

    python benchmarks/training_step.py                  (the size of the issue: minutes on a few CPU cores)
    python benchmarks/training_step.py --device cuda    (bfloat16; also with torch.compile, and counts recompilations)
    python benchmarks/training_step.py --extra 2        (each kind of contexts also with as many extra tasks a case)
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
from measuring import MEGABYTE, Row, parser, peak_megabytes, report, seconds_in_turns
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.networks.context_batch import NULL_ROW, ContextBatch
from hermes_nnunet.networks.hermes_unet import HermesUNet

WIDTHS = (32, 64, 128, 256, 320)
BLOCKS = (1, 3, 4, 6, 6)
PLAIN_CHANNELS = 23
POOL_TASKS = 71
MODALITIES = 6
CONTEXTS = {"2": (2, 2), "8": (8, 8), "23": (23, 23), "2 and 23": (2, 23)}  # tasks of the cases of a batch
STEPS_WITH_OTHER_CONTEXTS = 4


class Step:
    """One training step of a network, as nnU-Net's trainer does it."""

    def __init__(
        self, network: nn.Module, forward: Callable[[torch.Tensor], Any], loss: Callable, device: torch.device
    ) -> None:
        self.network = network
        self.forward = forward
        self.loss = loss
        self.device = device
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def __call__(self, data: torch.Tensor, target: list[torch.Tensor]) -> None:
        """Forward, loss, backward, clip, update."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.loss(self.forward(data), target)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()

    @property
    def weights_megabytes(self) -> float:
        """Size of the weights; AdamW keeps twice as much."""
        return sum(parameter.nbytes for parameter in self.network.parameters()) / MEGABYTE


def network_arguments(widths: Sequence[int], blocks: Sequence[int], num_classes: int) -> dict[str, Any]:
    """What both networks are made of: what nnU-Net's planner writes for an isotropic patch."""
    stages = len(widths)
    return {
        "input_channels": 1,
        "n_stages": stages,
        "features_per_stage": list(widths),
        "conv_op": nn.Conv3d,
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1], *([[2, 2, 2]] * (stages - 1))],
        "n_blocks_per_stage": list(blocks),
        "num_classes": num_classes,
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }


def plain_step(arguments: argparse.Namespace) -> Step:
    """nnU-Net's network and loss."""
    network = ResidualEncoderUNet(**network_arguments(arguments.widths, arguments.blocks, PLAIN_CHANNELS))
    loss = DC_and_CE_loss(
        {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}, {}, dice_class=MemoryEfficientSoftDiceLoss
    )
    if arguments.compile:
        loss.dc = torch.compile(loss.dc)  # as nnU-Net does
    weights = 0.5 ** np.arange(len(arguments.widths) - 1)
    weights[-1] = 0
    return _step(network, DeepSupervisionWrapper(loss, weights / weights.sum()), arguments)


def hermes_step(arguments: argparse.Namespace) -> Step:
    """HermesUNet and its loss."""
    network = HermesUNet(
        **network_arguments(arguments.widths, arguments.blocks, POOL_TASKS),
        num_modalities=MODALITIES,
        modality_norms=True,
    )
    loss = HermesLoss(
        [[task + 1] for task in range(POOL_TASKS)],
        unknown_modality=MODALITIES - 1,
        scale_weights=network.supervision_weights,
    )
    return _step(network, loss.to(arguments.device), arguments)


def _step(network: nn.Module, loss: Callable, arguments: argparse.Namespace) -> Step:
    network = network.to(arguments.device)
    forward = torch.compile(network) if arguments.compile else network
    return Step(network, forward, loss, arguments.device)


def contexts(tasks: Sequence[int], batch: int, device: torch.device) -> ContextBatch:
    """Cases with random tasks, as many as `tasks` says, and modalities."""
    index = torch.full((batch, max(tasks)), NULL_ROW)
    for case in range(batch):
        count = tasks[case % len(tasks)]
        index[case, :count] = torch.randperm(POOL_TASKS)[:count]
    return ContextBatch(index, torch.arange(batch) % (MODALITIES - 1)).on(device)


def with_extra_tasks(context: ContextBatch, number: int) -> ContextBatch:
    """The contexts with random extra tasks: the first excludes a third of the pool, the next is absent, and so on."""
    cases = len(context.task_index)
    index = torch.stack([torch.randperm(POOL_TASKS)[:number] for _ in range(cases)])
    negatives = torch.zeros(cases, number, POOL_TASKS + 1, dtype=torch.bool)
    negatives[:, ::2, 1 : POOL_TASKS // 3] = True
    negatives[:, 1::2] = True
    device = context.task_index.device
    return context.with_extra_tasks(index.to(device), negatives.to(device))


def label_maps(highest: int, arguments: argparse.Namespace) -> list[torch.Tensor]:
    """A label map with blocks of the values 0 to `highest` at every resolution, highest first."""
    maps = []
    for scale in range(len(arguments.widths) - 1):
        size = arguments.patch // 2**scale
        blocks = torch.randint(0, highest + 1, (arguments.batch, 1, *[max(1, size // 8)] * 3)).float()
        maps.append(nn.functional.interpolate(blocks, size=(size,) * 3).to(arguments.device))
    return maps


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for the plain network, and one or two for each kind of contexts."""
    torch.manual_seed(0)
    plain, hermes = plain_step(arguments), hermes_step(arguments)
    data = torch.randn(arguments.batch, 1, *[arguments.patch] * 3, device=arguments.device)
    plain_target, hermes_target = (label_maps(highest, arguments) for highest in (PLAIN_CHANNELS - 1, POOL_TASKS))

    def run_hermes(tasks: Sequence[int], extra: int) -> None:
        context = contexts(tasks, arguments.batch, arguments.device)
        hermes.network.set_context(with_extra_tasks(context, extra) if extra else context)
        hermes(data, hermes_target)

    sides: dict[str, Callable[[], None]] = {"plain": lambda: plain(data, plain_target)}
    for name in arguments.contexts:
        for extra in sorted({0, arguments.extra}):
            row = f"hermes, {name} tasks" + f" and {extra} extra" * bool(extra)
            sides[row] = partial(run_hermes, CONTEXTS[name], extra)
    memory = {}
    for name, side in sides.items():
        if len(memory) < 2:
            side()  # the first step of a network makes the optimizer's state, and compiles
        for step in (plain, hermes):
            step.optimizer.zero_grad(set_to_none=True)  # gradients of the last step are no part of this one
        memory[name] = peak_megabytes(side, arguments.device)
    seconds = seconds_in_turns(sides, arguments.repeats, arguments.device, warm_up=0)
    rows: list[Row] = []
    for name in sides:
        step = plain if name == "plain" else hermes
        of_step, of_plain = (memory[n] + s.weights_megabytes for n, s in ((name, step), ("plain", plain)))
        with_state, plain_with_state = of_step + 2 * step.weights_megabytes, of_plain + 2 * plain.weights_megabytes
        row: dict[str, str | float | int] = {
            "network": name,
            "s": seconds[name].elapsed,
            "ratio": seconds[name].elapsed / seconds["plain"].elapsed,
            "processor s": seconds[name].processor,
            "processor ratio": seconds[name].processor / seconds["plain"].processor,
            "MB": of_step,
            "MB ratio": of_step / of_plain,
            "MB with AdamW": with_state,
            "MB with AdamW ratio": with_state / plain_with_state,
        }
        if arguments.compile:
            row["recompilations"] = _recompilations(sides[name])
        rows.append(row)
    return rows


def _recompilations(step: Callable[[], None]) -> int:
    """Graphs that torch.compile makes anew in further steps, each with other contexts."""
    counters = torch._dynamo.utils.counters
    before = counters["stats"]["unique_graphs"]
    for _ in range(STEPS_WITH_OTHER_CONTEXTS):
        step()
    return counters["stats"]["unique_graphs"] - before


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/training_step*.json."""
    made = parser(__doc__, repeats=2)
    made.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    made.add_argument("--batch", type=int, default=2)
    made.add_argument("--patch", type=int, default=64, help="voxels an axis")
    made.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    made.add_argument("--blocks", type=int, nargs="+", default=BLOCKS, help="residual blocks of each stage")
    made.add_argument("--contexts", nargs="+", choices=CONTEXTS, default=list(CONTEXTS), help="tasks a case")
    made.add_argument("--extra", type=int, default=0, help="extra tasks of a case, beside contexts without")
    arguments = made.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in ("batch", "patch", "widths", "blocks")}
    on_gpu = arguments.device.type == "cuda"
    for arguments.compile in (False, True) if on_gpu else (False,):
        name = "training_step" + on_gpu * f"_{arguments.device.type}" + arguments.compile * "_compiled"
        report(name, __doc__, {**settings, "compiled": arguments.compile}, measure(arguments), arguments)


if __name__ == "__main__":
    main()
