"""What do images without labels bring to a member with four labelled cases?

The first four training cases of cine (303) keep their labels. Trains Hermes as benchmarks/accuracy.py does: with the
others 'left out', with them as images without labels ('images'), and with labels that the model of that arm makes where
it is sure ('pseudo-labels'); and with 'all labels'. Scored are the held-out cases of cine and of the other members.

A killed run goes on where it was. Rows of other folds, seeds and sizes in results/unlabelled_cases.json stay.

    python benchmarks/unlabelled_cases.py ../shared/data/raw FOLDER --batches 200
    python benchmarks/unlabelled_cases.py ../shared/data/raw FOLDER --batches 200 --seed 1 --arms images pseudo-labels
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from accuracy import row
from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.data import COLLECTION_ID, Workplace
from comparison.hiding import write_hidden
from comparison.rows import add_row, read_rows
from comparison.running import Training
from comparison.tables import show, show_seeds

from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.label_values import foreground_values

MEMBER, LABELLED_CASES = 303, 4
# Data set of the arm whose other cases are gone, of that whose other cases have no labels, and of pseudo-labels.
FEW, FEW_AND_IMAGES, PSEUDO = 343, 344, 353
PSEUDO_NAME = "PseudoLabels"
# Collection of each arm.
ARMS = {"all labels": COLLECTION_ID, "left out": 907, "images": 908, "pseudo-labels": 909}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score what is missing, then print and write the table."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--arms", nargs="*", default=tuple(ARMS), choices=ARMS)
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    result = options.results / "unlabelled_cases.json"
    for name in options.arms:
        # Labels of a model belong to its seed and size.
        own = f"unlabelled_{options.batches}_f{options.fold}_s{options.seed}"
        folder = options.folder / ("" if name == "all labels" else own)
        workplace = Workplace(folder.resolve(), options.commands, size_name=options.size)
        workplace.link_members(options.source)
        prepare(name, workplace, options)
        training = training_of(name, options)
        training.run(workplace, options.device)
        add_row(result, row(name, [training], workplace, options), __doc__)
    if rows := read_rows(result):
        show(rows)
        show_seeds(rows)


def prepare(name: str, workplace: Workplace, options: argparse.Namespace) -> None:
    """Merge, plan and preprocess what an arm is trained on; for pseudo-labels, train the model that makes them."""
    if name == "all labels":
        workplace.prepare_collection()
        return
    fold = read_json(workplace.raw(MEMBER) / "splits_final.json", "link the members again")[options.fold]
    labelled, others = split_training(fold["train"])
    if name == "left out":
        kept: dict[str, Sequence[str]] = {}
        folds = [{"train": labelled, "val": fold["val"]}]
        write_hidden(workplace, MEMBER, FEW, kept, folds)
        workplace.prepare_collection(number=ARMS[name], changes={MEMBER: {"dataset": FEW}})
        return
    write_hidden(workplace, MEMBER, FEW_AND_IMAGES, dict.fromkeys(others, ()), [{**fold, "train": labelled}])
    with_images = {MEMBER: {"dataset": FEW_AND_IMAGES, "unlabelled": others}}
    if name == "images":
        workplace.prepare_collection(number=ARMS[name], changes=with_images)
        return
    prepare("images", workplace, options)
    teacher = training_of("images", options)
    teacher.run(workplace, options.device)
    if not list(workplace.raw(MEMBER).parent.glob(f"Dataset{PSEUDO}_*")):
        pseudo_label(teacher, workplace, options.device)
    workplace.prepare_collection(number=ARMS[name], changes=with_images, **merged_pseudo_labels(workplace))


def split_training(cases: Sequence[str]) -> tuple[list[str], list[str]]:
    """The cases that keep their labels, the first by name, and the others."""
    ordered = sorted(cases)
    return ordered[:LABELLED_CASES], ordered[LABELLED_CASES:]


def pseudo_label(teacher: Training, workplace: Workplace, device: str) -> None:
    """Let a model label the images without labels."""
    model = teacher.fold_folder(workplace).parent
    made = ("--into", PSEUDO, "--name", PSEUDO_NAME, "-f", teacher.fold, "-device", device)
    workplace.run(
        f"{teacher.name}_pseudo_labels",
        "hermes_nnunet",
        *("pseudo-label", model, *made, "--tasks", *_cine_tasks(workplace)),
        environment=teacher.environment(workplace),
    )


def merged_pseudo_labels(workplace: Workplace) -> dict[str, Any]:
    """What the merge file says of the labels that a model made."""
    labels = read_json(workplace.raw(PSEUDO) / "dataset.json", "delete the folder and start again")["labels"]
    member = workplace.member_name(MEMBER)
    return {
        "more": [{"dataset": PSEUDO, "modality": "cineMRI"}],
        "shared_tasks": {label: [f"{member}/{label}", f"{PSEUDO_NAME}/{label}"] for label in foreground_values(labels)},
    }


def training_of(name: str, options: argparse.Namespace) -> Training:
    """The training of an arm: Hermes with as many patches as in the comparison."""
    (whole,) = arm("hermes", batches=options.batches, fold=options.fold, seed=options.seed)
    if name == "all labels":
        return whole
    return replace(whole, name=f"{whole.name}_{name.replace(' ', '_')}", dataset=ARMS[name])


def _cine_tasks(workplace: Workplace) -> list[str]:
    labels = read_json(workplace.raw(MEMBER) / "dataset.json", "link the members again")["labels"]
    return [f"{workplace.member_name(MEMBER)}/{label}" for label in foreground_values(labels)]


if __name__ == "__main__":
    main()
