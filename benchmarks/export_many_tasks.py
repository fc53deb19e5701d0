"""How long does it take, and how much memory, to get from the logits of 71 tasks to a segmentation of the image?

The network's voxels have 1.5 mm, the image's 1 x 0.8 x 0.8 mm. All sides run nnU-Net's own export function, each in a
process of its own, and get the same logits in half precision:

    nnU-Net     72 classes, resampled and decided as nnU-Net's own plans say
    unstreamed  71 tasks, all resampled by nnU-Net's torch function, then decided by Hermes' label manager
    streamed    71 tasks as plans of Hermes say

"organs" are ellipsoids of many sizes, side by side; "noise" puts every task everywhere, which no segmentation does and
which leaves nothing to skip. Memory is the most that the process held, logits included, without its libraries.

    python benchmarks/export_many_tasks.py                                            (5 minutes)
    python benchmarks/export_many_tasks.py --size 320 --sides streamed --name full    (the size of the issue)
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import MEGABYTE, Row, parser, report

SPACING = (1.5, 1.5, 1.5)
IMAGE_SPACING = (1.0, 0.8, 0.8)
SIDES = ("nnU-Net", "unstreamed", "streamed")
SCENES = ("organs", "noise")
# as nnU-Net's default planner writes them
_STOCK = ("resample_data_or_seg_to_shape", {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None})
_TORCH = ("resample_torch_fornnunet", {"is_seg": False, "force_separate_z": None})
_STREAMED = ("resample_logits_by_task", {"force_separate_z": None})
RESAMPLING = dict(zip(SIDES, (_STOCK, _TORCH, _STREAMED), strict=True))
LABEL_MANAGERS = dict(zip(SIDES, ("LabelManager", "HermesLabelManager", "HermesLabelManager"), strict=True))


@dataclass(frozen=True)
class Export:
    """One export in a process of its own."""

    side: str
    scene: str
    tasks: int
    size: int

    def run(self) -> tuple[float, float, np.ndarray]:
        """Seconds, megabytes and segmentation."""
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(_export, (self,))


def logits_of(scene: str, tasks: int, size: int) -> Iterator[np.ndarray]:
    """Logits (size, size, size), half precision, of one task after another."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    waves = rng.uniform(2, 9, (tasks, 3, 2)).astype(np.float32)
    for task in range(tasks):
        if scene == "noise":
            parts = [np.sin(rate * axis + shift) for axis, (rate, shift) in zip(axes, waves[task], strict=True)]
            yield (4 * (parts[0] + parts[1] + parts[2])).astype(np.float16)
            continue
        radii = rng.uniform(0.05, 0.3, 3).astype(np.float32)
        centre = rng.uniform(-0.8, 0.8, 3).astype(np.float32)
        parts = [((axis - middle) / radius) ** 2 for axis, middle, radius in zip(axes, centre, radii, strict=True)]
        distance = np.sqrt(parts[0] + parts[1] + parts[2])
        # The network is as sure of a large organ as of a small one.
        yield np.clip(10 * (1 - distance), -12, 12).astype(np.float16)


def _export(export: Export) -> tuple[float, float, np.ndarray]:
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    function, options = RESAMPLING[export.side]
    configuration = {
        "spacing": list(SPACING),
        "resampling_fn_probabilities": function,
        "resampling_fn_probabilities_kwargs": options,
        "architecture": {},
    }
    plans = PlansManager(
        {
            "label_manager": LABEL_MANAGERS[export.side],
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {"3d_fullres": configuration},
        }
    )
    labels = {"background": 0, **{f"organ {task}": task for task in range(1, export.tasks + 1)}}
    label_manager = plans.get_label_manager({"labels": labels, "file_ending": ".nii.gz"})
    settings = plans.get_configuration("3d_fullres")
    shape = [round(export.size * own / wanted) for own, wanted in zip(SPACING, IMAGE_SPACING, strict=True)]
    # What is imported and looked up at the first call is no part of an export.
    settings.resampling_fn_probabilities(np.zeros((1, 4, 4, 4), np.float16), [6, 6, 6], SPACING, IMAGE_SPACING)
    before = _peak_megabytes()

    # The 72nd class is the background, whose logit 0 is what a task has to exceed.
    classes = label_manager.num_segmentation_heads
    logits = np.zeros((classes, *[export.size] * 3), np.float16)
    for channel, scores in zip(range(classes - export.tasks, classes), _logits(export), strict=True):
        logits[channel] = scores
    properties = {
        "spacing": IMAGE_SPACING,
        "shape_after_cropping_and_before_resampling": shape,
        "shape_before_cropping": shape,
        "bbox_used_for_cropping": [[0, length] for length in shape],
    }
    start = time.perf_counter()
    segmentation = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, settings, label_manager, properties, num_threads_torch=torch.get_num_threads()
    )
    return time.perf_counter() - start, _peak_megabytes() - before, segmentation


def _logits(export: Export) -> Iterator[np.ndarray]:
    return logits_of(export.scene, export.tasks, export.size)


def _peak_megabytes() -> float:
    """Most memory that this process has held."""
    # Not resource.getrusage: what it says of a new process begins with the memory of its parent.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / MEGABYTE


def measure(arguments: argparse.Namespace) -> list[Row]:
    """A row for each scene and side; ratios are to the first side that runs."""
    rows: list[Row] = []
    for scene in arguments.scenes:
        seconds: dict[str, list[float]] = {side: [] for side in arguments.sides}
        megabytes = dict.fromkeys(arguments.sides, 0.0)
        segmentations = {}
        for _ in range(arguments.repeats):
            for side in arguments.sides:
                taken, held, segmentations[side] = Export(side, scene, arguments.tasks, arguments.size).run()
                seconds[side].append(taken)
                megabytes[side] = max(megabytes[side], held)
        medians = {side: statistics.median(own) for side, own in seconds.items()}
        first, unstreamed = arguments.sides[0], arguments.sides[-2:][0]
        rows += [
            {
                "scene": scene,
                "side": side,
                "s": medians[side],
                "MB": megabytes[side],
                "time ratio": medians[side] / medians[first],
                "memory ratio": megabytes[side] / megabytes[first],
                f"equal to {first}": _share_equal(segmentations[side], segmentations[first]),
                f"equal to {unstreamed}": _share_equal(segmentations[side], segmentations[unstreamed]),
                "foreground": float((segmentations[side] > 0).mean()),
            }
            for side in arguments.sides
        ]
    return rows


def _share_equal(one: np.ndarray, other: np.ndarray) -> float:
    return float((one == other).mean())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/export_many_tasks*.json."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--tasks", type=int, default=71)
    made.add_argument("--size", type=int, default=96, help="voxels an axis of the network's grid")
    made.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    made.add_argument("--scenes", nargs="+", choices=SCENES, default=SCENES)
    made.add_argument("--name", default="", help="added to the name of the result")
    arguments = made.parse_args(argv)
    shape = [round(arguments.size * own / wanted) for own, wanted in zip(SPACING, IMAGE_SPACING, strict=True)]
    settings = {"tasks": arguments.tasks, "logits": [arguments.size] * 3, "image": shape}
    name = "export_many_tasks" + f"_{arguments.name}" * bool(arguments.name)
    report(name, __doc__, settings, measure(arguments), arguments)


if __name__ == "__main__":
    main()
