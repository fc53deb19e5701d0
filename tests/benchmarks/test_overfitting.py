"""What benchmarks/overfitting.py says of segmentations that are there; the trainings themselves take hours."""

import json

import nibabel
import numpy as np
import pytest

LABELS = {"background": 0, "left": 1, "right": 2}
SHAPE = (4, 4, 4)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Members of two training cases and a held-out one, whose left half is label 1 and right half label 2."""
    from comparison import data

    monkeypatch.setattr(data, "find_commands", lambda names, _: dict.fromkeys(names, "false"))
    truth = np.ones(SHAPE, np.uint8)
    truth[2:] = 2
    for number in data.MEMBERS:
        (tmp_path / "nnUNet_preprocessed" / f"Dataset{number}_D{number}").mkdir(parents=True)
        raw = tmp_path / "nnUNet_raw" / f"Dataset{number}_D{number}"
        (raw / "labelsTr").mkdir(parents=True)
        (raw / "dataset.json").write_text(json.dumps({"labels": LABELS}))
        (raw / "splits_final.json").write_text(json.dumps([{"train": ["b", "a"], "val": ["c"]}]))
        for case in "abc":
            save(truth, raw / "labelsTr" / f"{case}.nii.gz")
    return data.Workplace(tmp_path, tmp_path, size_name="6 mm")


def save(voxels, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def test_training_cases_are_scored_in_the_labels_of_their_member(workplace):
    from comparison.arms import arm
    from comparison.data import MEMBERS
    from comparison.views import predictions_of
    from overfitting import scores_of_seen

    (training,) = arm("hermes", batches=5000)
    for number in MEMBERS:
        found = np.ones(SHAPE, np.uint8)
        found[3:] = 2  # half of what is right
        for case in "ab":
            save(found, predictions_of(training, workplace, f"training_cases_{number}") / f"{case}.nii.gz")
    scores = list(scores_of_seen(training, workplace, "cpu"))
    assert {(score.member, score.case) for score in scores} == {(f"D{n}", case) for n in MEMBERS for case in "ab"}
    for score in scores:
        assert score.dice == pytest.approx({"left": 0.8, "right": 2 / 3}[score.task])


def test_a_single_model_has_seen_its_own_member_only(workplace):
    from comparison.arms import arm
    from comparison.views import predictions_of
    from overfitting import scores_of_seen

    training = arm("singles", batches=5000)[2]
    for case in "ab":
        save(np.ones(SHAPE, np.uint8), predictions_of(training, workplace, "training_cases_303") / f"{case}.nii.gz")
    assert {score.member for score in scores_of_seen(training, workplace, "cpu")} == {"D303"}


def test_rows_end_with_the_mean_over_members():
    from comparison.scoring import Score
    from overfitting import rows_of

    seen = [Score("x", "1", "t", 0.9, 1), Score("x", "2", "t", 0.7, 1), Score("y", "3", "u", 1.0, 1)]
    held_out = [Score("x", "4", "t", 0.5, 1), Score("y", "5", "u", 0.6, 1)]
    assert [tuple(row.values()) for row in rows_of("hermes", seen, held_out)] == [
        ("hermes", "x", 0.8, 0.5, 0.3),
        ("hermes", "y", 1.0, 0.6, 0.4),
        ("hermes", "mean", 0.9, 0.55, 0.35),
    ]
