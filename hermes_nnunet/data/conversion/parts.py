"""Which cases are for training, which for testing, and the folds."""

from collections.abc import Sequence
from dataclasses import dataclass

from hermes_nnunet.data.conversion.converter import Converter, SourceCase
from hermes_nnunet.data.merge.folds import DEFAULT_FOLDS, Fold, make_folds
from hermes_nnunet.errors import HermesError


@dataclass(frozen=True)
class Parts:
    """The cases of a data set by what they are for.

    Attributes:
        train: cases for training and validation (imagesTr, labelsTr).
        test: cases for testing (imagesTs; labelsTs where they have a label).
        unlisted: labelled cases that the lists do not name; they are left out.
    """

    train: tuple[SourceCase, ...]
    test: tuple[SourceCase, ...]
    unlisted: tuple[SourceCase, ...]


def divide(converter: Converter, cases: Sequence[SourceCase], *, all_training: bool) -> Parts:
    """Divide cases by the converter's lists; all labelled ones are for training where it has none or `all_training`."""
    labelled = [case for case in cases if case.label is not None]
    unlabelled = [case for case in cases if case.label is None]
    if converter.lists is None or all_training:
        return Parts(tuple(labelled), tuple(unlabelled), ())
    train, test = {*converter.lists.train, *converter.lists.val}, {*converter.lists.test}
    return Parts(
        train=tuple(case for case in labelled if case.listed_as in train),
        test=(*(case for case in labelled if case.listed_as in test), *unlabelled),
        unlisted=tuple(case for case in labelled if case.listed_as not in train | test),
    )


def folds_of(converter: Converter, train: Sequence[SourceCase], *, all_training: bool) -> list[Fold]:
    """The one fold of the converter's lists, or seeded folds by patient where they name no validation cases.

    Raises:
        HermesError: training or validation would be empty.
    """
    if converter.lists is None or not converter.lists.val or all_training:
        if not train:
            raise HermesError(f"{converter.name}: no labelled case can be used")
        return make_folds(converter.name, {case.name: case.patient for case in train}, DEFAULT_FOLDS)
    validated = set(converter.lists.val)
    fold = {
        "train": sorted(case.name for case in train if case.listed_as not in validated),
        "val": sorted(case.name for case in train if case.listed_as in validated),
    }
    for half, names in fold.items():
        if not names:
            raise HermesError(
                f"{converter.name}: no case of the paper's {half} list can be used: complete the download, or use "
                "--all-training for folds of all cases that are there"
            )
    return [fold]


def missing_names(converter: Converter, cases: Sequence[SourceCase]) -> list[str]:
    """Names of labelled cases that are published, but are not among `cases`, whole or broken."""
    present = {case.listed_as for case in cases if case.label is not None or case.problems}
    return sorted({*converter.published_names} - present, key=lambda name: (len(name), name))
