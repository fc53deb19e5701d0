"""What does it cost that half of the labels of two members are missing, case by case, if the model is told which?

Half of the labels of the training cases of 301 and of 303 are hidden at random, case by case. Trains Hermes as
benchmarks/accuracy.py does: with 'all labels', with the hidden ones counted as 'background', as in nnU-Net, and with
the merge 'told' which labels each case annotates. Held-out cases have all labels, and are scored with all.

A killed run goes on where it was. Rows of other folds, seeds and sizes in results/hidden_labels.json stay.

    python benchmarks/hidden_labels.py ../shared/data/raw FOLDER --batches 200
    python benchmarks/hidden_labels.py ../shared/data/raw FOLDER --batches 200 --seed 1 --arms told background
"""

from collections.abc import Sequence
from dataclasses import replace

from accuracy import row
from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.data import COLLECTION_ID, Workplace
from comparison.hiding import HIDDEN, hide_labels
from comparison.rows import add_row, read_rows
from comparison.running import Training
from comparison.tables import show, show_seeds

# Collection of each arm.
ARMS = {"all labels": COLLECTION_ID, "background": 905, "told": 906}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and score what is missing, then print and write the table."""
    parser = comparison_parser(__doc__)
    parser.add_argument("--arms", nargs="*", default=tuple(ARMS), choices=ARMS)
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    result = options.results / "hidden_labels.json"
    for name in options.arms:
        # The comparison's own folder, whose trainings are the same, where all labels are there.
        folder = options.folder if name == "all labels" else options.folder / f"hidden_labels_f{options.fold}"
        workplace = Workplace(folder.resolve(), options.commands, size_name=options.size)
        workplace.link_members(options.source)
        workplace.prepare_collection(number=ARMS[name], changes=changes_of(name, workplace, options.fold))
        training = training_of(name, options.batches, options.fold, options.seed)
        training.run(workplace, options.device)
        add_row(result, row(name, [training], workplace, options), __doc__)
    if rows := read_rows(result):
        show(rows)
        show_seeds(rows)


def changes_of(name: str, workplace: Workplace, fold: int) -> dict[int, dict[str, object]]:
    """What an arm's merge file says of members with hidden labels."""
    if name == "all labels":
        return {}
    tables = {member: hide_labels(workplace, member, fold) for member in HIDDEN}
    told = {member: {"annotated": str(table)} if name == "told" else {} for member, table in tables.items()}
    return {member: {"dataset": HIDDEN[member], **told[member]} for member in HIDDEN}


def training_of(name: str, batches: int, fold: int, seed: int) -> Training:
    """The training of an arm: Hermes with as many patches as in the comparison."""
    (whole,) = arm("hermes", batches=batches, fold=fold, seed=seed)
    if name == "all labels":
        return whole
    return replace(whole, name=f"{whole.name}_{name}", dataset=ARMS[name])


if __name__ == "__main__":
    main()
