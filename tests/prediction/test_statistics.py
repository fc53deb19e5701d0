import csv

import numpy as np
import pytest

from hermes_nnunet.core.pictures.labels import Label
from hermes_nnunet.errors import HermesError
from hermes_nnunet.prediction.statistics import (
    read_statistics,
    statistics_of_label_map,
    statistics_of_mask,
    write_statistics,
)

WHOLE = Label("brain/whole", 3, (3, 4), "brain", "#ffffff")
CORE = Label("brain/core", 4, (4,), "brain", "#ffffff")
OTHER = Label("liver", 9, (9,), "abdomen", "#ffffff")


class TestLabelMap:
    def test_a_region_includes_what_lies_within_it(self):
        label_map = np.array([0, 3, 3, 4]).reshape(2, 2, 1)
        image = np.array([100.0, 1.0, 2.0, 6.0], np.float32).reshape(2, 2, 1)
        assert statistics_of_label_map(label_map, image, [WHOLE, CORE, OTHER], voxel_mm3=500) == {
            "brain/whole": {"volume_ml": 1.5, "mean_intensity": 3.0},
            "brain/core": {"volume_ml": 0.5, "mean_intensity": 6.0},
            "liver": {"volume_ml": 0.0, "mean_intensity": None},
        }

    def test_the_mean_of_many_voxels_keeps_its_digits(self):
        image = np.full((100, 100, 100), 1000.1, np.float32)
        entry = statistics_of_mask(np.ones(image.shape, bool), image, voxel_mm3=1)
        assert entry == {"volume_ml": 1000.0, "mean_intensity": pytest.approx(1000.1, abs=1e-4)}


class TestFiles:
    CASES = {"b": {"liver": {"volume_ml": 1.5, "mean_intensity": None}}, "a": {}}  # noqa: RUF012

    def test_come_back_as_they_were_written(self, tmp_path):
        write_statistics(self.CASES, tmp_path)
        assert read_statistics(tmp_path) == self.CASES

    def test_the_table_has_a_line_for_each_case_and_task(self, tmp_path):
        write_statistics(self.CASES, tmp_path)
        with open(tmp_path / "statistics.csv", newline="") as file:
            assert list(csv.reader(file)) == [
                ["case", "task", "volume_ml", "mean_intensity"],
                ["b", "liver", "1.5", ""],
            ]

    def test_there_are_none_before_the_first_case(self, tmp_path):
        assert read_statistics(tmp_path) == {}

    def test_of_another_release_are_refused(self, tmp_path):
        (tmp_path / "statistics.json").write_text('{"format_version": 99, "cases": {}}')
        with pytest.raises(HermesError, match="has format version 99, this release reads 1"):
            read_statistics(tmp_path)
