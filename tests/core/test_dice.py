import math

import nibabel
import numpy as np
import pytest
from rich.console import Console

from hermes_nnunet.core.dice import dice_of_case, dice_of_folder, dice_table, mean_by_label, mean_dice
from hermes_nnunet.errors import HermesError

LABELS = {"background": 0, "organ": 1, "tumour": 2}


def write(path, voxels, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(voxels, np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def line(values):
    return np.reshape(values, (1, 1, -1))


class TestDiceOfCase:
    def test_counts_overlap(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 1, 1, 2, 0, 0]))
        reference = write(tmp_path / "r.nii.gz", line([0, 1, 1, 1, 2, 2]))
        assert dice_of_case(prediction, reference, LABELS) == {"organ": pytest.approx(2 / 3), "tumour": 0.0}

    def test_is_undefined_where_both_are_empty(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 0]))
        assert math.isnan(dice_of_case(prediction, prediction, LABELS)["tumour"])

    def test_region_covers_all_its_values(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 1, 2, 0]))
        reference = write(tmp_path / "r.nii.gz", line([2, 1, 1, 0]))
        scores = dice_of_case(prediction, reference, {"background": 0, "whole": [1, 2], "core": 2})
        assert scores == {"whole": 1.0, "core": 0.0}

    def test_ignored_voxels_do_not_count(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 1, 1, 0]))
        reference = write(tmp_path / "r.nii.gz", line([1, 3, 3, 0]))
        assert dice_of_case(prediction, reference, LABELS | {"ignore": 3})["organ"] == 1.0

    def test_other_shape_is_refused(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 0]))
        reference = write(tmp_path / "r.nii.gz", line([1, 0, 0]))
        with pytest.raises(HermesError, match=r"p\.nii\.gz has \(1, 1, 2\) voxels"):
            dice_of_case(prediction, reference, LABELS)

    def test_other_place_is_refused(self, tmp_path):
        prediction = write(tmp_path / "p.nii.gz", line([1, 0]), np.diag([-1, -1, 1, 1]))
        reference = write(tmp_path / "r.nii.gz", line([1, 0]))
        with pytest.raises(HermesError, match="affines differ"):
            dice_of_case(prediction, reference, LABELS)


class TestDiceOfFolder:
    DATASET_JSON = {"labels": LABELS, "file_ending": ".nii.gz"}  # noqa: RUF012

    def test_scores_every_reference_by_case(self, tmp_path):
        for name in ("a", "b"):
            write(tmp_path / "p" / f"{name}.nii.gz", line([1, 2]))
            write(tmp_path / "r" / f"{name}.nii.gz", line([1, 2] if name == "a" else [2, 1]))
        scores = dice_of_folder(tmp_path / "p", tmp_path / "r", self.DATASET_JSON)
        assert scores == {"a": {"organ": 1.0, "tumour": 1.0}, "b": {"organ": 0.0, "tumour": 0.0}}

    def test_missing_prediction_is_named(self, tmp_path):
        write(tmp_path / "r" / "a.nii.gz", line([1, 2]))
        with pytest.raises(HermesError, match=r"has no a\.nii\.gz"):
            dice_of_folder(tmp_path / "p", tmp_path / "r", self.DATASET_JSON)

    def test_empty_references_are_named(self, tmp_path):
        with pytest.raises(HermesError, match=r"holds no \*\.nii\.gz"):
            dice_of_folder(tmp_path, tmp_path, self.DATASET_JSON)


class TestMeans:
    CASES = {  # noqa: RUF012
        "a": {"organ": 1.0, "tumour": math.nan},
        "b": {"organ": 0.5, "tumour": 0.25},
    }

    def test_mean_by_label_leaves_out_undefined_cases(self):
        assert mean_by_label(self.CASES) == {"organ": 0.75, "tumour": 0.25}

    def test_mean_dice_weighs_labels_alike(self):
        assert mean_dice(self.CASES) == 0.5

    def test_nothing_defined_is_nan(self):
        assert math.isnan(mean_dice({"a": {"organ": math.nan}}))

    def test_table_shows_labels_members_and_the_whole(self):
        console = Console(width=80, record=True, file=None, quiet=False)
        with console.capture() as shown:
            console.print(dice_table({"Heads": self.CASES, "Hearts": {"c": {"atrium": 1.0}}}))
        words = [line.split() for line in shown.get().replace("│", " ").splitlines()]
        assert ["Heads", "tumour", "1", "0.250"] in words
        assert ["Heads", "mean", "0.500"] in words
        assert ["all", "members", "mean", "0.750"] in words
