import json

import pytest

from hermes_nnunet.errors import HermesError
from hermes_nnunet.planning.splits import check_planned_splits

FOLDS = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c", "b"], "val": ["a"]}]


@pytest.fixture
def folders(tmp_path):
    made = tmp_path / "raw", tmp_path / "preprocessed"
    for folder in made:
        folder.mkdir()
    return made


def write(folder, folds):
    (folder / "splits_final.json").write_text(json.dumps(folds))


def test_the_same_folds_in_another_order_of_cases_pass(folders):
    write(folders[0], FOLDS)
    write(folders[1], [{"train": ["b", "a"], "val": ["c"]}, FOLDS[1], {"train": ["a"], "val": ["b"]}])
    check_planned_splits(*folders)


def test_a_first_planning_passes(folders):
    write(folders[0], FOLDS)
    check_planned_splits(*folders)


@pytest.mark.parametrize("planned", [FOLDS[:1], [FOLDS[1], FOLDS[0]]])
def test_folds_of_an_earlier_merge_are_named_with_the_remedy(folders, planned):
    write(folders[0], FOLDS)
    write(folders[1], planned)
    with pytest.raises(
        HermesError, match=r"preprocessed/splits_final\.json has other folds .* delete .* and plan with --clean"
    ):
        check_planned_splits(*folders)
