"""Does Hermes keep its lead over nnU-Net's single models when the training is long?

The comparison of benchmarks/accuracy.py at 6 mm, where a batch is cheap, at several lengths: each single model has n
batches, the models of the collection 4n. Draws the Dice and HD95 of the held-out cases against n.

A killed run goes on where it was; rows that are there, of trainings that are there, are not made again. Rows of other
lengths, folds, seeds and changes in results/long_training.json stay.

    python benchmarks/long_training.py ../shared/data/raw FOLDER
    python benchmarks/long_training.py ../shared/data/raw FOLDER --batches 5000 --folds 0 --changed singles --arms \
        --changes "nnU-Net's SGD"
    python benchmarks/long_training.py ../shared/data/raw FOLDER --batches 1000 --arms hermes --averages 0.99 0.999
"""

import argparse
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from accuracy import row
from comparison.arguments import FOLDS, place_parser
from comparison.arms import ABLATIONS, ablation, arm, can_be_ablated
from comparison.averages import AveragedTraining
from comparison.data import Workplace
from comparison.length_figure import draw
from comparison.recipe import OF_ADDITION, OF_TRANSFER
from comparison.rows import add_row, read_rows
from comparison.running import Conditions, Training
from comparison.size import LONG_SIZE
from comparison.tables import show, show_seeds

ARMS = ("singles", "masked", "hermes")
LENGTHS = (250, 1000, 5000)

Result = TypeVar("Result")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score what is missing, then print the table, and write it and the figure."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name in options.changes:
        if not can_be_ablated(name, options.changed):
            parser.error(f"--changes '{name}' changes what --changed {options.changed} does not have")
    options.results.mkdir(parents=True, exist_ok=True)
    workplace = Workplace(options.folder.resolve(), options.commands, size_name=options.size)
    workplace.link_members(options.source)
    workplace.prepare_singles()
    workplace.prepare_collection()
    result = options.results / "long_training.json"
    missing: list[Callable[[], dict[str, Any]]] = []
    for batches, fold, seed in itertools.product(options.batches, options.folds, options.seeds):
        conditions = Conditions(batches, seed, options.device)
        for name, trainings in wanted(options, batches, fold, seed).items():
            if not is_there(result, name, trainings, workplace):
                missing.append(partial(made_row, name, trainings, workplace, conditions))
    for new in results_of(missing, options.at_once):
        add_row(result, new, __doc__)
        draw([own for own in read_rows(result) if own["arm"] in ARMS], options.results / "long_training.png")
    if rows := read_rows(result):
        show(rows)
        show_seeds(rows)


def wanted(options: argparse.Namespace, batches: int, fold: int, seed: int) -> dict[str, Sequence[Training]]:
    """Trainings by the name of their row, those whose averages are asked for before these."""
    size: dict[str, int] = {"batches": batches, "fold": fold, "seed": seed}
    rows: dict[str, Sequence[Training]] = {name: arm(name, **size) for name in options.arms}
    rows |= {f"{options.changed}, {name}": ablation(name, of_arm=options.changed, **size) for name in options.changes}
    if not options.averages:
        return rows
    decays = tuple(options.averages)
    kept: dict[str, Sequence[Training]] = {
        name: [replace(own, recipe=replace(own.recipe, kept_averages=decays)) for own in trainings]
        for name, trainings in rows.items()
    }
    averaged = {
        f"{name}, averaged weights {decay:g}": [AveragedTraining.of(own, decay) for own in trainings]
        for name, trainings in kept.items()
        for decay in decays
    }
    return kept | averaged


def is_there(result: Path, name: str, trainings: Sequence[Training], workplace: Workplace) -> bool:
    """Whether the row of these trainings is in the result, and the trainings in the folder."""
    if not all(training.is_done(workplace) for training in trainings):
        return False
    key = {
        "arm": name,
        "size": workplace.size_name,
        "fold": trainings[0].fold,
        "recipe": _decisive(vars(trainings[0].recipe)),
    }
    rows = [{**row, "recipe": _decisive(row["recipe"])} for row in read_rows(result)]
    return any(all(row[field] == value for field, value in key.items()) for row in rows)


def made_row(name: str, trainings: Sequence[Training], workplace: Workplace, conditions: Conditions) -> dict[str, Any]:
    """Train what is missing, and score."""
    for training in trainings:
        training.run(workplace, conditions.device)
    return row(name, trainings, workplace, conditions)


def results_of(tasks: Sequence[Callable[[], Result]], at_once: int) -> Iterator[Result]:
    """Results of tasks that start processes, as they come, so many tasks at a time.

    Each has its share of the cores that this process may use, so that its processes make as many threads.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    shares: SimpleQueue[set[int]] = SimpleQueue()
    for place in range(at_once):
        shares.put(set(cores[place::at_once] or cores))

    def run(task: Callable[[], Result]) -> Result:
        share = shares.get()
        try:
            if share:
                os.sched_setaffinity(0, share)  # of this thread, and of the processes that it starts
            return task()
        finally:
            shares.put(share)

    with ThreadPoolExecutor(at_once) as pool:
        for done in as_completed([pool.submit(run, task) for task in tasks]):
            yield done.result()


def _decisive(recipe: dict[str, Any]) -> dict[str, Any]:
    """What a recipe says of the training itself."""
    return {key: value for key, value in recipe.items() if key not in {"kept_averages", *OF_TRANSFER, *OF_ADDITION}}


def _parser() -> argparse.ArgumentParser:
    made = place_parser(__doc__, LONG_SIZE)
    made.add_argument("--batches", type=int, nargs="+", default=LENGTHS, help="n (default: %(default)s)")
    made.add_argument("--folds", type=int, nargs="+", default=(0, 1), choices=FOLDS)
    made.add_argument("--seeds", type=int, nargs="+", default=(0,))
    made.add_argument("--arms", nargs="*", default=ARMS, choices=ARMS)
    made.add_argument("--changes", nargs="*", default=(), choices=ABLATIONS, help="one change each")
    made.add_argument("--changed", default="hermes", choices=ARMS, help="arm that is changed")
    made.add_argument("--averages", type=float, nargs="*", default=(), help="decays of averages of the weights")
    made.add_argument("--at-once", type=int, default=1, help="trainings at a time (default: %(default)s)")
    return made


if __name__ == "__main__":
    main()
