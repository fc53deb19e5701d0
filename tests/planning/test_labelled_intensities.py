from dataclasses import replace

import nibabel
import numpy as np
import pytest
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO

from hermes_nnunet.collection import Case
from hermes_nnunet.planning.labelled_intensities import (
    CASES_PER_MEMBER,
    LabelledCase,
    cases_to_read,
    intensities_of_tasks,
    labelled_intensities,
    planned_intensity_clipping,
)
from hermes_nnunet.plans import HermesPlans


@pytest.fixture
def write_case(tmp_path):
    """Writes a case of 1000 voxels; `organs` are label value -> intensities of its first voxels."""

    def write(name, organs, values_of_tasks=None, background=-1000.0):
        image, labels = np.full(1000, background, np.float32), np.zeros(1000, np.uint8)
        start = 0
        for value, intensities in organs.items():
            end = start + len(intensities)
            image[start:end], labels[start:end] = intensities, value
            start = end
        files = [str(tmp_path / f"{name}_{kind}.nii.gz") for kind in ("image", "labels")]
        for array, file in zip((image, labels), files, strict=True):
            nibabel.save(nibabel.Nifti1Image(array.reshape(10, 10, 10), np.eye(4)), file)
        tasks = {str(value): (value,) for value in organs} if values_of_tasks is None else values_of_tasks
        return LabelledCase((files[0],), files[1], NibabelIO, tasks)

    return write


class TestIntensitiesOfTasks:
    def test_are_those_of_each_tasks_voxels(self, write_case):
        got = intensities_of_tasks(write_case("a", {1: range(201), 2: range(500, 901)}))
        assert {task: (own.low, own.high, own.mean) for task, own in got.items()} == {
            "1": (1, 199, 100),
            "2": (502, 898, 700),
        }
        assert got["1"].std == pytest.approx(np.std([1, *range(1, 200), 199]))

    def test_mean_and_deviation_are_clipped_to_the_percentiles(self, write_case):
        own = intensities_of_tasks(write_case("a", {1: [40, 60] * 200 + [18000]}))["1"]
        assert (own.mean, own.std) == (pytest.approx(50, abs=0.1), pytest.approx(10, abs=0.1))

    def test_two_voxels_are_enough(self, write_case):
        own = intensities_of_tasks(write_case("a", {1: [40, 60]}))["1"]
        assert own == pytest.approx((40.1, 59.9, 50, 9.9))

    def test_a_region_is_all_of_its_values(self, write_case):
        case = write_case("a", {1: [10] * 100, 2: [30] * 100}, {"both": (1, 2), "core": (2,)})
        assert intensities_of_tasks(case) == {"both": (10, 30, 20, 10), "core": (30, 30, 30, 0)}

    def test_are_read_in_the_channels_of_the_modality(self, write_case):
        pet, ct = write_case("pet", {1: [9000] * 100}), write_case("ct", {1: [40] * 100})
        both = replace(pet, images=(*pet.images, *ct.images))
        found = {
            channels: intensities_of_tasks(replace(both, channels=channels))["1"].mean
            for channels in ((0,), (1,), (0, 1), None)
        }
        assert found == {(0,): 9000, (1,): 40, (0, 1): 4520, None: 4520}

    def test_a_task_that_the_case_does_not_show_is_left_out(self, write_case):
        case = write_case("a", {1: [10] * 100}, {"shown": (1,), "absent": (2,)})
        assert intensities_of_tasks(case) == {"shown": (10, 10, 10, 0)}


class TestLabelledIntensities:
    def test_span_all_tasks_however_small(self, write_case):
        large, small = write_case("large", {1: [40] * 600}), write_case("small", {2: [700] * 3})
        assert labelled_intensities([large, small]) == (40, 700, 370, 330)

    def test_have_the_deviation_of_all_tasks_voxels_taken_together(self, write_case):
        organs = {1: [30, 50] * 50, 2: [100, 900] * 50}
        expected = np.std(np.concatenate(list(organs.values())))
        assert labelled_intensities([write_case("a", organs)]).std == pytest.approx(expected, abs=0.5)

    def test_metal_in_one_of_three_cases_moves_nothing(self, write_case):
        cases = [write_case(str(high), {1: [-50] * 100 + [high] * 100}) for high in (300, 310, 3071)]
        assert labelled_intensities(cases) == (-50, 310, 130, 180)

    def test_many_cases_are_read_by_processes(self, write_case, monkeypatch):
        monkeypatch.setattr("hermes_nnunet.planning.labelled_intensities.default_num_processes", 2)
        cases = [write_case(str(number), {1: [number] * 10}) for number in range(10)]
        # the median, 4.5, to the even; nothing is divided by a deviation of 0
        assert labelled_intensities(cases) == (4, 4, 4, 1)

    def test_nothing_without_labels(self, write_case):
        assert labelled_intensities([write_case("a", {}, {"liver": (1,)})]) is None
        assert labelled_intensities([]) is None


def test_cases_of_the_modality_are_read_evenly_and_not_too_many(collection):
    scans = {f"abdomen__{number:03d}": Case("abdomen", "CT", str(number)) for number in range(100)}
    collection = replace(collection, cases={**collection.cases, **scans})
    files = {case: {"images": [f"{case}_0000.nii.gz"], "label": f"{case}.nii.gz"} for case in [*scans, "brain__x"]}
    chosen = cases_to_read(collection, files, "CT", NibabelIO)
    names = [case.labels for case in chosen]
    assert len(set(names)) == CASES_PER_MEMBER
    assert (names[0], names[-1]) == ("abdomen__000.nii.gz", "abdomen__099.nii.gz")
    assert all(set(case.values_of_tasks) == {"abdomen/liver", "abdomen/spleen"} for case in chosen)


def test_every_task_is_read_where_cases_annotate_different_ones(collection):
    rare = {f"abdomen__z{number}": Case("abdomen", "CT", str(number), ("abdomen/spleen",)) for number in range(3)}
    many = {f"abdomen__{number:03d}": Case("abdomen", "CT", str(number), ("abdomen/liver",)) for number in range(100)}
    none = {"abdomen__none": Case("abdomen", "CT", "none", ())}
    collection = replace(collection, cases={**many, **rare, **none})
    files = {case: {"images": [f"{case}_0000.nii.gz"], "label": case} for case in collection.cases}
    chosen = cases_to_read(collection, files, "CT", NibabelIO)
    assert [list(case.values_of_tasks) for case in chosen] == [["abdomen/liver"]] * CASES_PER_MEMBER + [
        ["abdomen/spleen"]
    ] * 3


class TestRulesOfSeveralChannels:
    @pytest.fixture
    def planned(self, collection, write_case):
        """A function that plans for PET/CTs with channels of these names, and liver of 9000 Bq/ml and 40 HU."""
        pet, ct = (write_case(name, {1: [value] * 100}) for name, value in (("pet", 9000), ("ct", 40)))

        def plan(*names):
            member = replace(
                collection.members["abdomen"], channels={"CT": None}, channel_names=dict(zip("01", names, strict=True))
            )
            own = {name: case for name, case in collection.cases.items() if case.member == "abdomen"}
            files = {name: {"images": [*pet.images, *ct.images], "label": ct.labels} for name in own}
            of_member = replace(collection, members={"abdomen": member}, cases=own)
            rules = planned_intensity_clipping(of_member, files, {"file_ending": ".nii.gz"})
            HermesPlans.of_collection(of_member, rules).to_block()
            return rules

        return plan

    def test_ct_is_the_channel_of_this_name(self, planned):
        assert planned("PET", "CT")["CT"] == {"range": [40, 40], "mean": 40, "std": 1, "channels": [1]}

    def test_two_cts_have_one_rule(self, planned):
        rule = planned("CT", "CT")["CT"]
        assert (rule["range"], rule["channels"]) == ([40, 9000], [0, 1])
