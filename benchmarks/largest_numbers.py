"""How large do the numbers in a trained Hermes become, layer by layer, and do they fit into half precision?

float16, which nnU-Net computes in on a GPU, ends at 65504. Trains Hermes as benchmarks/long_training.py does, where
that is not done yet, and segments held-out cases of every member.

    python benchmarks/largest_numbers.py ../shared/data/raw FOLDER --batches 1000
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.contexts import ContextModel
from comparison.data import MEMBERS, Workplace
from comparison.size import LONG_SIZE
from comparison.views import held_out_cases, image_of
from measuring import Row, report
from torch import nn

from hermes_nnunet.collection import Context

# A tenth of what float16 holds is left for images that are unlike those of the training.
LIMIT = 6e4 / 10
# Layers of a part of the network are one row, for which so many parts of their names are enough.
PARTS_OF_NAME = 3
LOGITS = "logits"


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, measure, and write benchmarks/results/largest_numbers.json."""
    parser = comparison_parser(__doc__)
    parser.set_defaults(size=LONG_SIZE, repeats=1)
    parser.add_argument("--cases", type=int, default=2, help="of each member (default: %(default)s)")
    options = parser.parse_args(argv)
    workplace = Workplace(options.folder.resolve(), options.commands, size_name=options.size)
    workplace.link_members(options.source)
    workplace.prepare_collection()
    (training,) = arm("hermes", batches=options.batches, fold=options.fold, seed=options.seed)
    training.run(workplace, options.device)
    # where nnU-Net finds the comparison's trainers
    os.environ["nnUNet_extTrainer"] = workplace.environment["nnUNet_extTrainer"]
    model = ContextModel(training.fold_folder(workplace).parent, training.fold, options.device)
    with largest_of_layers(model.predictor.network) as largest:
        for number, modality in MEMBERS.items():
            tasks = model.collection.members[workplace.member_name(number)].tasks
            for case in held_out_cases(workplace, number, options.cases, training.fold):
                contexts = {"own": Context(tasks, modality)}
                for _ in model.segment(image_of(workplace, number, case), contexts):
                    pass
    settings = {"size": options.size, "batches_per_member": options.batches, "cases_per_member": options.cases}
    report("largest_numbers", __doc__, settings, list(rows_of(largest)), options)


@contextmanager
def largest_of_layers(network: nn.Module) -> Iterator[dict[str, float]]:
    """Largest absolute value of the outputs of every layer, and of the network as "logits", within the block."""
    largest: dict[str, float] = {}

    def watch(layer: nn.Module, inputs: Any, output: Any, name: str) -> None:
        if isinstance(output, torch.Tensor) and output.numel():
            largest[name] = max(largest.get(name, 0.0), output.abs().max().item())

    layers = {name: layer for name, layer in network.named_modules() if not list(layer.children())}
    handles = [
        layer.register_forward_hook(partial(watch, name=name)) for name, layer in {**layers, LOGITS: network}.items()
    ]
    try:
        yield largest
    finally:
        for handle in handles:
            handle.remove()


def rows_of(largest: dict[str, float]) -> Iterator[Row]:
    """A row for the layers of each part of the network, in its order, the logits last."""
    of_parts: dict[str, tuple[float, str]] = {}
    for name, value in largest.items():
        part = ".".join(name.split(".")[:PARTS_OF_NAME])
        of_parts[part] = max(of_parts.get(part, (0.0, "")), (value, name))
    for part, (value, name) in sorted(of_parts.items(), key=lambda own: own[0] == LOGITS):
        yield {"part": part, "largest": value, "layer": name, "below a tenth of float16": str(value < LIMIT)}


if __name__ == "__main__":
    main()
