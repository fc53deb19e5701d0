"""How long does `--all` take, and how much memory, against the pass of one member?

A collection of 71 tasks that share a modality, once of two and once of eleven members. Each side loads nothing: from an
array of 1 x 0.8 x 0.8 mm, through preprocessing at 1.5 mm, sliding window and resampling of the logits, to the label
map. "each member" is `--member` with all of them, as `--all` was before one pass took all tasks; memory is the peak of
all tensors.

    python benchmarks/passes.py                  (widths 32 to 320; one window, in which the network counts least)
    python benchmarks/passes.py --device cuda
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial

import made_collection as made
import numpy as np
import torch
from measuring import Row, parser, peak_megabytes, report, seconds_in_turns
from one_model import BLOCKS, WIDTHS, save_model

from hermes_nnunet import HermesModel
from hermes_nnunet.planning.resampling.options import (
    IMAGE_FUNCTION,
    IMAGE_OPTIONS,
    LOGITS_FUNCTION,
    LOGITS_OPTIONS,
)

TASKS = 71
MEMBERS = (2, 11)
MODALITY = "CT"
IMAGE_SPACING = (0.8, 0.8, 1.0)  # x, y, z
ONE, EVERYTHING, EACH = "one member", "everything", "each member"


def make_members(number: int, tasks: int) -> list[tuple[str, str, int]]:
    """Members of one modality that share out the tasks as evenly as can be; the first has the most."""
    return [(f"Member{index:02}", MODALITY, tasks // number + (index < tasks % number)) for index in range(number)]


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for each number of members and side."""
    return [row for number in arguments.members for row in _rows(number, arguments)]


def _rows(number: int, arguments: argparse.Namespace) -> list[Row]:
    torch.manual_seed(0)
    collection = made.make_collection(1, make_members(number, arguments.tasks))
    plans = made.hermes_plans(collection, arguments.patch, arguments.widths, arguments.blocks)
    plans["configurations"][made.CONFIGURATION] |= {
        "resampling_fn_data": IMAGE_FUNCTION,
        "resampling_fn_data_kwargs": IMAGE_OPTIONS,
        "resampling_fn_probabilities": LOGITS_FUNCTION,
        "resampling_fn_probabilities_kwargs": LOGITS_OPTIONS,
    }
    shape = [round(arguments.size * made.SPACING_MM / spacing) for spacing in IMAGE_SPACING]
    image = np.random.default_rng(0).standard_normal(shape, np.float32)
    with made.nnunet_folders() as folder:
        path = folder / "results" / made.NAME / "HermesTrainer__HermesPlans__3d_fullres"
        save_model(path, plans, made.dataset_json(collection), "HermesTrainer")
        model = HermesModel.load(path, device=arguments.device)
        members = list(collection.members)
        predict = partial(model.predict, (image, IMAGE_SPACING), modality=MODALITY)
        sides: dict[str, Callable[[], object]] = {
            ONE: partial(predict, members=members[:1]),
            EVERYTHING: partial(predict, everything=True),
            EACH: partial(predict, members=members),
        }
        seconds = seconds_in_turns({side: sides[side] for side in arguments.sides}, arguments.repeats, arguments.device)
        megabytes = {side: peak_megabytes(sides[side], arguments.device) for side in arguments.sides}
    first = arguments.sides[0]
    return [
        {
            "members": number,
            "tasks of the first": len(collection.members[members[0]].tasks),
            "side": side,
            "s": seconds[side].elapsed,
            "ratio": seconds[side].elapsed / seconds[first].elapsed,
            "processor s": seconds[side].processor,
            "processor ratio": seconds[side].processor / seconds[first].processor,
            "MB": megabytes[side],
            "MB ratio": megabytes[side] / megabytes[first],
        }
        for side in arguments.sides
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/passes*.json."""
    made_parser = parser(__doc__, repeats=3)
    made_parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    made_parser.add_argument("--patch", type=int, default=64, help="voxels an axis")
    made_parser.add_argument("--size", type=int, default=64, help="voxels an axis of a case at the network's spacing")
    made_parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    made_parser.add_argument("--blocks", type=int, nargs="+", default=BLOCKS, help="residual blocks of each stage")
    made_parser.add_argument("--tasks", type=int, default=TASKS)
    made_parser.add_argument("--members", type=int, nargs="+", default=MEMBERS, help="numbers of members")
    made_parser.add_argument(
        "--sides", nargs="+", choices=(ONE, EVERYTHING, EACH), default=(ONE, EVERYTHING), help="the first is 1"
    )
    arguments = made_parser.parse_args(argv)
    settings = {name: getattr(arguments, name) for name in ("patch", "size", "widths", "blocks", "tasks")}
    name = "passes" if arguments.device.type == "cpu" else f"passes_{arguments.device.type}"
    report(name, __doc__, settings, measure(arguments), arguments)


if __name__ == "__main__":
    main()
