import gzip

import numpy as np
import pytest
import torch

from hermes_nnunet.learning.training.validated_cases import RECORD, ValidatedCases

WEIGHTS = {"layer": torch.arange(4.0).reshape(2, 2), "steps": torch.tensor(3)}
CASES = ["a", "b"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "validation"


@pytest.fixture
def begin(folder):
    """A function that begins a validation: the cases that it keeps."""

    def of(weights=WEIGHTS, plans=None, cases=CASES, **options):
        return ValidatedCases(folder, weights, plans or {}, {}).begin(cases, **{"probabilities": False, **options})

    return of


def write(folder, case, probabilities=False):
    if probabilities:
        np.savez_compressed(folder / f"{case}.npz", probabilities=np.arange(100.0))
        (folder / f"{case}.pkl").touch()
    (folder / f"{case}.nii.gz").write_bytes(gzip.compress(bytes(range(256)) * 40))


def names(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".writing-")} - {RECORD}


class TestInterrupted:
    def test_keeps_whole_cases_and_no_parts(self, folder, begin):
        assert begin() == []
        write(folder, "a")
        write(folder, "b")
        whole = (folder / "b.nii.gz").read_bytes()
        for size in range(0, len(whole), 7):
            (folder / "b.nii.gz").write_bytes(whole[:size])
            assert begin() == ["a"], size
            assert names(folder) == {"a.nii.gz"}

    @pytest.mark.parametrize("missing", ["b.npz", "b.pkl", "half of b.npz"])
    def test_probabilities_must_be_whole_where_they_are_wanted(self, folder, begin, missing):
        begin(probabilities=True)
        for case in CASES:
            write(folder, case, probabilities=True)
        content = (folder / "b.npz").read_bytes()
        (folder / missing.removeprefix("half of ")).unlink()
        if missing.startswith("half"):
            (folder / "b.npz").write_bytes(content[: len(content) // 2])
        assert begin(probabilities=True) == ["a"]

    def test_probabilities_that_were_not_wanted_are_predicted(self, folder, begin):
        begin()
        write(folder, "a")
        assert begin() == ["a"]
        assert begin(probabilities=True) == []

    def test_nothing_is_kept_where_nothing_is_to_be(self, folder, begin):
        begin()
        write(folder, "a")
        assert begin(keep=False) == []
        assert names(folder) == set()

    def test_cases_of_another_split_are_in_no_summary(self, folder, begin):
        begin()
        for case in "abc":
            write(folder, case)
        assert begin() == CASES
        assert names(folder) == {"a.nii.gz", "b.nii.gz"}


class TestOther:
    @pytest.mark.parametrize(
        "changed",
        [
            {"weights": {**WEIGHTS, "layer": WEIGHTS["layer"] + 1e-6}},
            {"weights": {"layer": WEIGHTS["layer"]}},
            {"plans": {"spacing": 2}},
        ],
    )
    def test_weights_or_plans_take_no_old_case(self, folder, begin, changed):
        begin()
        write(folder, "a")
        assert begin(**changed) == []
        assert names(folder) == set()

    def test_a_validation_without_a_record_takes_none(self, folder, begin):
        """As after one that has ended, or of an older release."""
        folder.mkdir()
        write(folder, "a")
        (folder / "summary.json").touch()
        assert begin() == []
        # Whose Dice are of weights that may be others now.
        assert names(folder) == set()

    def test_after_the_end_all_begins_anew(self, folder, begin):
        begin()
        write(folder, "a")
        ValidatedCases(folder, WEIGHTS, {}, {}).end()
        assert begin() == []


def test_a_kill_at_any_moment_mixes_nothing(kills):
    """Another training's validation begins, and is killed; then the first one's goes on."""
    folder = kills.folder / "validation"
    others = {"layer": WEIGHTS["layer"] + 1}
    ValidatedCases(folder, others, {}, {}).begin(CASES, probabilities=False)
    write(folder, "a")
    kills.keep()
    for change in kills.each(lambda: ValidatedCases(folder, WEIGHTS, {}, {}).begin(CASES, probabilities=False)):
        assert ValidatedCases(folder, WEIGHTS, {}, {}).begin(CASES, probabilities=False) == [], change
        assert names(folder) == set(), change
