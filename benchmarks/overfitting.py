"""How much better are the cases segmented that a model was trained on than those that were held out?

Trains the arms of benchmarks/long_training.py where that is not done yet, and segments all training cases of every
member with stock nnUNetv2_predict. A model that segments its training cases much better than others lacks cases rather
than capacity or batches.

    python benchmarks/overfitting.py ../shared/data/raw FOLDER --batches 5000 --seed 1
"""

from collections.abc import Iterator, Sequence

from comparison.arguments import comparison_parser
from comparison.arms import arm
from comparison.data import MEMBERS, Workplace
from comparison.running import Training
from comparison.scoring import Score, by_member, scores_of, scores_of_files
from comparison.size import LONG_SIZE
from comparison.views import image_of, predict_once, training_cases
from measuring import Row, report

from hermes_nnunet.core.dice import mean_of_defined

ARMS = ("singles", "masked", "hermes")


def main(argv: Sequence[str] | None = None) -> None:
    """Train and segment what is missing, and write benchmarks/results/overfitting.json."""
    parser = comparison_parser(__doc__)
    parser.set_defaults(size=LONG_SIZE, repeats=1)
    parser.add_argument("--arms", nargs="+", default=("singles", "hermes"), choices=ARMS)
    options = parser.parse_args(argv)
    workplace = Workplace(options.folder.resolve(), options.commands, size_name=options.size)
    workplace.link_members(options.source)
    workplace.prepare_singles()
    workplace.prepare_collection()
    rows: list[Row] = []
    for name in options.arms:
        trainings = arm(name, batches=options.batches, fold=options.fold, seed=options.seed)
        for training in trainings:
            training.run(workplace, options.device)
        seen = [score for training in trainings for score in scores_of_seen(training, workplace, options.device)]
        rows += rows_of(name, seen, scores_of(trainings, workplace))
    settings = {key: getattr(options, key) for key in ("size", "batches", "fold", "seed")}
    report("overfitting", __doc__, settings, rows, options)


def scores_of_seen(training: Training, workplace: Workplace, device: str) -> Iterator[Score]:
    """Every task of every case that a training was trained on."""
    for number in MEMBERS if training.dataset not in MEMBERS else (training.dataset,):
        cases = training_cases(workplace, number, training.fold)
        images = {case: image_of(workplace, number, case) for case in cases}
        files = predict_once(training, workplace, images, number, f"training_cases_{number}", device)
        yield from scores_of_files(files, workplace.member_name(number), workplace)


def rows_of(name: str, seen: Sequence[Score], held_out: Sequence[Score]) -> Iterator[Row]:
    """A row a member with both Dice, and one with their means over members."""
    both = [by_member(scores) for scores in (seen, held_out)]
    dice = {member: tuple(of_cases[member][0] for of_cases in both) for member in both[0]}
    means = tuple(mean_of_defined(own) for own in zip(*dice.values(), strict=True))
    for member, (of_seen, of_held_out) in [*dice.items(), ("mean", means)]:
        yield {
            "arm": name,
            "member": member,
            "training cases": round(of_seen, 4),
            "held-out cases": round(of_held_out, 4),
            "difference": round(of_seen - of_held_out, 4),
        }


if __name__ == "__main__":
    main()
