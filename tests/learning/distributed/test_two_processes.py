"""Two processes with parts of the batches do what one does with the whole batches."""

import pytest

pytestmark = pytest.mark.distributed

WEIGHTS_AGREE = 1e-5


def largest_difference(a, b):
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


@pytest.mark.parametrize("kind", ["plain", "compiled"])
class TestTraining:
    def test_starts_with_the_weights_of_the_first_process(self, trained_apart, trained_whole, kind):
        for report in trained_apart:
            assert largest_difference(report[kind]["before"], trained_whole["before"]) == 0

    def test_three_steps_lead_to_the_weights_of_one_process(self, trained_apart, trained_whole, kind):
        assert largest_difference(trained_whole["before"], trained_whole["after"]) > 0.01
        for report in trained_apart:
            assert largest_difference(report[kind]["after"], trained_whole["after"]) < WEIGHTS_AGREE

    def test_weights_stay_the_same_in_all_processes(self, trained_apart, kind):
        assert largest_difference(*(report[kind]["after"] for report in trained_apart)) == 0

    def test_the_loss_is_that_of_the_whole_batches(self, trained_apart, trained_whole, kind):
        for report in trained_apart:
            assert report[kind]["train loss"] == pytest.approx(trained_whole["train loss"], abs=1e-5)


class TestValidation:
    def test_the_loss_is_that_of_the_whole_batches(self, trained_apart, trained_whole):
        for report in trained_apart:
            assert report["plain"]["validation loss"] == pytest.approx(trained_whole["validation loss"], abs=1e-5)

    def test_dice_counts_the_voxels_of_all_processes(self, trained_apart, trained_whole):
        for report in trained_apart:
            assert report["plain"]["Dice"] == pytest.approx(trained_whole["Dice"], abs=1e-5, nan_ok=True)


class TestPaperRecipe:
    def test_weights_and_their_average_stay_the_same_in_all_processes(self, trained_apart):
        first, second = (report["paper"] for report in trained_apart)
        assert largest_difference(first["after"], second["after"]) == 0
        assert largest_difference(first["average"], second["average"]) == 0

    def test_the_average_follows_the_weights(self, trained_apart):
        report = trained_apart[0]["paper"]
        assert largest_difference(report["average"], report["before"]) > 0
        assert largest_difference(report["average"], report["after"]) > 0
