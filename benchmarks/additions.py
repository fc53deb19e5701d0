"""Is nothing forgotten when a trained model learns something new, and is what it learns as good as a model of its own?

In the frame of benchmarks/accuracy.py, with bases of Hermes that do not know what is added to them:

- 'members': a base of three of the members 301 to 304, and the fourth as an addition (base frozen), by
  HermesTrainerTransfer and by the same with slower layers, each with the batches that its single model has; and what
  the two that change the base do to the three others.
- 'few labels': the same with 4 labelled cases of the heart's sets, against the single model on them. Fold 0 only.
- 'examples': a base of all members that was never shown the mandible, the left parotid and the left ventricle is taught
  each of them with 1, 3 and 5 images, against nnU-Net trained on the same 5.
- 'unchanged': logits and masks of every old member before and after one and two additions.

A killed run goes on where it was. Rows of other folds, seeds and sizes in results/additions.json stay.

    python benchmarks/additions.py ../shared/data/raw FOLDER --size "6 mm"
    python benchmarks/additions.py ../shared/data/raw FOLDER --size "6 mm" --questions members --members 303 304
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comparison.arguments import comparison_parser
from comparison.arms import arm, single_with_few
from comparison.data import MEMBERS, Workplace
from comparison.extension import FEW_CASES, WAYS, Extension
from comparison.rows import add_row, read_rows, size_of
from comparison.running import Conditions, Training
from comparison.scoring import by_member, scores_of
from comparison.splits import Reduction, add_folds
from comparison.taught import EXAMPLES, STRUCTURES, Teaching
from comparison.taught_picture import draw
from comparison.unchanged import difference
from measuring import MEGABYTE
from rich.console import Console
from rich.table import Table

RESULT = "additions.json"
MAIN_WAYS = ("addition", "transfer", "transfer, slower layers")
MEMBERS_WITH_FEW = (303, 304)
PICTURE, SHOWN = "taught.png", 3


def members(workplace: Workplace, options: argparse.Namespace) -> None:
    """A member added to a base of the others, by every way."""
    for member in options.members:
        extension = _extension(workplace, member, options)
        extension.prepare()
        (single,) = (one for one in arm("singles", **_size(options)) if one.dataset == member)
        single.run(workplace, options.device)
        dice = {"single": _dice(single, workplace)[extension.name]}
        old = {"base": _dice(extension.base, workplace)}
        for way in options.ways:
            training = extension.run(way)
            dice[way] = _dice(training, extension.place)[extension.name]
            if WAYS[way][0] == "transfer":
                old[way] = _dice(extension.base_after(way), workplace)
        megabytes = _megabytes(extension) if "addition" in options.ways else None
        _add(options, f"member {extension.name}", {"dice": dice, "old_members": old, "file_mb": megabytes})


def few_labels(workplace: Workplace, options: argparse.Namespace) -> None:
    """The same with few labelled cases of the new member."""
    for member in options.members:
        if member not in MEMBERS_WITH_FEW or options.fold != 0:
            continue
        extension = _extension(workplace, member, options)
        extension.prepare()
        few = [Reduction(extension.name, FEW_CASES)]
        add_folds(workplace.preprocessed(member) / "splits_final.json", few, of_collection=False)
        conditions = Conditions(options.batches, options.seed, options.device)
        single = single_with_few(few, few[0], workplace, conditions)
        single.run(workplace, options.device)
        dice = {"single": _dice(single, workplace)[extension.name]}
        for way in options.ways:
            dice[way] = _dice(extension.run(way, few=True), extension.place)[extension.name]
        _add(options, f"few labels {extension.name}", {"cases": FEW_CASES, "dice": dice})


def examples(workplace: Workplace, options: argparse.Namespace) -> None:
    """Structures taught with a handful of images."""
    teaching = Teaching(workplace, **_size(options), device=options.device)
    teaching.prepare()
    for structure in STRUCTURES:
        taught = {}
        for number in options.examples:
            seconds = teaching.teach(structure, number)
            taught[str(number)] = {"dice": round(teaching.dice(structure, number), 4), "seconds": seconds}
        single = round(teaching.dice_of_single(structure), 4)
        _add(options, f"examples {structure.name}", {"taught": taught, "nnunet_with_5": single})
    draw(
        [teaching.slices(structure, max(options.examples), SHOWN) for structure in STRUCTURES],
        options.results / PICTURE,
    )


def unchanged(workplace: Workplace, options: argparse.Namespace) -> None:
    """What additions change for old members: nothing."""
    found: dict[str, Any] = {}
    for member in options.members:
        extension = _extension(workplace, member, options)
        extension.prepare()
        training = extension.run("addition")
        results = training.folder(extension.place) / "nnUNet_results"
        others = [other for other in MEMBERS if other != member]
        changes = difference(extension.base, workplace, results, others, options.cases, training.name)
        found[f"one addition, {extension.name}"] = {name: asdict(own) for name, own in changes.items()}
    teaching = Teaching(workplace, **_size(options), device=options.device)
    teaching.prepare()
    files: list[Path] = []
    for structure in STRUCTURES[:2]:
        teaching.teach(structure, max(EXAMPLES))
        files.append(teaching.file(structure, max(EXAMPLES)))
        name = f"with_{len(files)}"
        changes = difference(teaching.base, workplace, teaching.added(files), list(MEMBERS), options.cases, name)
        found[f"{len(files)} taught"] = {name: asdict(own) for name, own in changes.items()}
    _add(options, "unchanged", {"differences": found})


QUESTIONS: dict[str, Callable[[Workplace, argparse.Namespace], None]] = {
    "members": members,
    "few labels": few_labels,
    "examples": examples,
    "unchanged": unchanged,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the result and print it."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--questions", nargs="*", default=tuple(QUESTIONS), choices=QUESTIONS)
    parser.add_argument("--members", nargs="*", type=int, default=tuple(MEMBERS), choices=MEMBERS)
    parser.add_argument("--ways", nargs="*", default=MAIN_WAYS, choices=WAYS, help="of adding a member")
    parser.add_argument(
        "--examples", nargs="+", type=int, default=EXAMPLES, choices=EXAMPLES, help="images to teach with"
    )
    parser.add_argument("--cases", type=int, default=2, help="of a member that are compared bit by bit")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    workplace = Workplace(options.folder.resolve(), options.commands, size_name=options.size)
    workplace.link_members(options.source)
    workplace.prepare_singles()
    for question in options.questions:
        QUESTIONS[question](workplace, options)
    show(read_rows(options.results / RESULT))


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print every row's Dice."""
    table = Table("size", "batches", "fold", "seed", "question", "Dice", "old members, mean Dice", title="Additions")
    for row in rows:
        where = (size_of(row), *(str(row[key]) for key in ("batches_per_member", "fold", "seed")), row["arm"])
        table.add_row(*where, _in_words(_dice_of(row)), _in_words(_means_of_old(row)))
    Console(width=max(160, Console().width)).print(table)


def _dice_of(row: dict[str, Any]) -> dict[str, float]:
    if "taught" in row:
        taught = {f"{number} images": own["dice"] for number, own in row["taught"].items()}
        return {**taught, "nnU-Net with 5": row["nnunet_with_5"]}
    return row.get("dice", {})


def _means_of_old(row: dict[str, Any]) -> dict[str, float]:
    return {way: sum(dice.values()) / len(dice) for way, dice in row.get("old_members", {}).items()}


def _in_words(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {number:.3f}" for name, number in numbers.items())


def _extension(workplace: Workplace, member: int, options: argparse.Namespace) -> Extension:
    return Extension(workplace, member, **_size(options), device=options.device)


def _size(options: argparse.Namespace) -> dict[str, int]:
    return {"batches": options.batches, "fold": options.fold, "seed": options.seed}


def _dice(training: Training, workplace: Workplace) -> dict[str, float]:
    return {name: round(dice, 4) for name, (dice, _) in by_member(scores_of([training], workplace)).items()}


def _megabytes(extension: Extension) -> float:
    (file,) = extension.training("addition").fold_folder(extension.place).glob("*.hermes")
    return round(file.stat().st_size / MEGABYTE, 2)


def _add(options: argparse.Namespace, name: str, found: dict[str, Any]) -> None:
    where = {"arm": name, "size": options.size, "batches_per_member": options.batches}
    add_row(options.results / RESULT, {**where, "fold": options.fold, "seed": options.seed, **found}, __doc__)


if __name__ == "__main__":
    main()
