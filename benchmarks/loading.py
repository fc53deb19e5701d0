"""How many patches a second does a data worker give, ours against nnU-Net's own?

Both trainers load the same preprocessed cases of four members, with the same patch and nnU-Net's augmentation; ours
draws cases by the members' weights, does not mirror, and keeps the label map as it is. The contexts of each batch are
looked up too, as a training step does.

    python benchmarks/loading.py
"""

import argparse
import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_collection as made
import numpy as np
import torch
from measuring import Row, parser, report, seconds_in_turns
from tqdm import tqdm

from hermes_nnunet.collection import Collection

# Of the network nothing matters here but how often it halves the patch.
WIDTHS, BLOCKS = (4, 4, 4, 4, 4), (1, 1, 1, 1, 1)
CASES_OF_MEMBER = 3
BATCH = 2


def preprocess(folder: Path, collection: Collection, size: int, patch: int) -> None:
    """Write noise with a cube for each task as nnU-Net's preprocessing would."""
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    cases = folder / "preprocessed" / made.NAME / "preprocessed"
    cases.mkdir(parents=True)
    values = {task.name: task.values[0] for task in collection.tasks}
    rng = np.random.default_rng(0)
    for name, case in tqdm(collection.cases.items(), desc="Writing cases", unit="case", leave=False):
        image = rng.standard_normal((1, size, size, size), np.float32)
        label = np.zeros((1, size, size, size), np.int16)
        for place, task in enumerate(collection.members[case.member].tasks, start=1):
            corner = place * size // 4
            label[:, corner : corner + size // 6, corner : corner + size // 6, corner : corner + size // 6] = values[
                task
            ]
        locations = {value: np.argwhere(label == value)[::7] for value in values.values()}
        block, chunk = comp_blosc2_params(image.shape, (patch,) * 3, image.itemsize)
        label_block, label_chunk = comp_blosc2_params(label.shape, (patch,) * 3, label.itemsize)
        nnUNetDatasetBlosc2.save_case(
            image,
            label,
            {"class_locations": locations},
            str(cases / name),
            chunks=chunk,
            blocks=block,
            chunks_seg=label_chunk,
            blocks_seg=label_block,
        )
    split = {"train": sorted(collection.cases), "val": sorted(collection.cases)}
    (cases.parent / "splits_final.json").write_text(json.dumps([split]))


def loader(trainer_class: type, plans: dict[str, Any], dataset_json: dict[str, Any]) -> tuple[Any, Callable[[], Any]]:
    """A trainer, and the function that gives its next batch, in this process: one worker."""
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = trainer_class(
            {**plans, "continue_training": False}, made.CONFIGURATION, 0, dataset_json, torch.device("cpu")
        )
        trainer.initialize()
        batches, _ = trainer.get_dataloaders()
    return trainer, lambda: next(batches)


def measure(arguments: argparse.Namespace) -> list[Row]:
    """One row."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    collection = made.make_collection(CASES_OF_MEMBER)
    dataset_json = made.dataset_json(collection)
    sizes = (arguments.patch, WIDTHS[: arguments.stages], BLOCKS[: arguments.stages])
    with made.nnunet_folders() as folder:
        preprocess(folder, collection, arguments.size, arguments.patch)
        _, plain_batch = loader(nnUNetTrainer, made.plain_plans(made.NAME, *sizes), dataset_json)
        trainer, hermes_batch = loader(HermesTrainer, made.hermes_plans(collection, *sizes), dataset_json)

        def look_up(batch: dict[str, Any]) -> None:
            trainer.context_of_batch([collection.context_of(str(case)) for case in batch["keys"]])

        def batches(next_batch: Callable[[], dict[str, Any]], use: Callable[[dict[str, Any]], None]) -> None:
            np.random.seed(0)  # the transforms that happen are a matter of chance, and differ much in cost
            torch.manual_seed(0)
            for _ in range(arguments.batches):
                use(next_batch())

        sides = {
            "plain": lambda: batches(plain_batch, lambda batch: None),
            "hermes": lambda: batches(hermes_batch, look_up),
        }
        seconds = seconds_in_turns(sides, arguments.repeats)
    patches = BATCH * arguments.batches
    plain, hermes = seconds["plain"], seconds["hermes"]
    return [
        {
            "patch": f"{arguments.patch}^3",
            "plain patches/s": patches / plain.elapsed,
            "hermes patches/s": patches / hermes.elapsed,
            "throughput ratio": plain.elapsed / hermes.elapsed,
            "ratio by processor time": plain.processor / hermes.processor,
        }
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write benchmarks/results/loading.json."""
    made_parser = parser(__doc__, repeats=3)
    made_parser.add_argument("--patch", type=int, default=96, help="voxels an axis")
    made_parser.add_argument("--size", type=int, default=160, help="voxels an axis of a case")
    made_parser.add_argument("--stages", type=int, default=5, choices=range(3, 6), help="resolutions of the network")
    made_parser.add_argument("--batches", type=int, default=20, help="batches of each repeat")
    arguments = made_parser.parse_args(argv)
    settings = {"cases": len(made.MODALITIES) * CASES_OF_MEMBER, "size": arguments.size, "batches": arguments.batches}
    report("loading", __doc__, settings, measure(arguments), arguments)


if __name__ == "__main__":
    main()
