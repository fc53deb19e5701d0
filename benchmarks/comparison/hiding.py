"""Members of which labels are hidden, as if nobody had drawn them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np

from comparison.data import Workplace
from hermes_nnunet.core.files import folder_written_beside, read_json, write_json
from hermes_nnunet.core.label_values import foreground_values
from hermes_nnunet.data.merge.annotation import COLUMNS, LABEL_SEPARATOR

# Members of which labels are hidden -> ids of the data sets in which they are.
HIDDEN = {301: 331, 303: 333}
TABLE = "annotated.csv"
SEED = 0


def kept_labels(cases: Sequence[str], labels: Sequence[str], seed: int = SEED) -> dict[str, tuple[str, ...]]:
    """Labels that each case keeps: half of all, at least one a case, and each label in as many cases as others.

    Cases keep a label less than half and one more in turn, where half is no whole number.
    """
    random = np.random.default_rng(seed)
    half = len(labels) / 2
    numbers = [int(np.floor(half)) if place % 2 else int(np.ceil(half)) for place in range(len(cases))]
    uses = dict.fromkeys(labels, 0)
    kept = {}
    for case, number in zip(random.permutation(cases), random.permutation(numbers), strict=True):
        order = sorted(random.permutation(labels), key=lambda label: uses[label])
        chosen = order[: max(1, number)]
        for label in chosen:
            uses[label] += 1
        kept[str(case)] = tuple(label for label in labels if label in chosen)
    return kept


def hide_labels(workplace: Workplace, member: int, fold: int) -> Path:
    """Make a member's data set with half of the labels hidden; returns the table of what is left.

    Only training cases of the fold lose labels, so that all are there to be scored. A hidden label is background.
    """
    folds = read_json(workplace.raw(member) / "splits_final.json", "link the members again")
    labels = read_json(workplace.raw(member) / "dataset.json", "link the members again")["labels"]
    kept = kept_labels(sorted(folds[fold]["train"]), list(foreground_values(labels)))
    return write_hidden(workplace, member, HIDDEN[member], kept, folds) / TABLE


def write_hidden(
    workplace: Workplace,
    member: int,
    number: int,
    kept: Mapping[str, Sequence[str]],
    folds: Sequence[Mapping[str, Sequence[str]]],
) -> Path:
    """Write a member's data set, if it is not there yet, under another id and with some labels only.

    Args:
        kept: case -> labels that it keeps, and what is said of it in the table; a case that keeps none has no label
            file, and is not in the table. Other cases keep all.
        folds: content of splits_final.json.
    """
    source = workplace.raw(member)
    target = source.with_name(f"Dataset{number}_{workplace.member_name(member)}")
    if target.exists():
        return target
    dataset_json = read_json(source / "dataset.json", "link the members again")
    values = foreground_values(dataset_json["labels"])
    with folder_written_beside(target) as folder:
        (folder / "imagesTr").symlink_to((source / "imagesTr").resolve())
        (folder / "labelsTr").mkdir()
        for file in sorted((source / "labelsTr").glob("*.nii.gz")):
            left = kept.get(file.name.removesuffix(".nii.gz"), tuple(values))
            hidden = [value for label, own in values.items() if label not in left for value in own]
            if left:
                _write_without(file, folder / "labelsTr" / file.name, hidden)
        write_json(dataset_json, folder / "dataset.json")
        write_json(folds, folder / "splits_final.json")
        with open(folder / TABLE, "w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(COLUMNS)
            writer.writerows((case, LABEL_SEPARATOR.join(left)) for case, left in sorted(kept.items()) if left)
    return target


def _write_without(file: Path, target: Path, values: Sequence[int]) -> None:
    image = nibabel.load(file)
    voxels = np.asanyarray(image.dataobj)
    nibabel.save(nibabel.Nifti1Image(np.where(np.isin(voxels, values), 0, voxels), image.affine, image.header), target)
