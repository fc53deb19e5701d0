"""Two processes with parts of the batches do what one does with the whole batches."""

import pytest

WEIGHTS_AGREE = 1e-5


def largest_difference(a, b):
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


class TestTraining:
    def test_starts_with_the_weights_of_the_first_process(self, trained_apart, trained_whole):
        for report in trained_apart:
            assert largest_difference(report["before"], trained_whole["before"]) == 0

    def test_three_steps_lead_to_the_weights_of_one_process(self, trained_apart, trained_whole):
        assert largest_difference(trained_whole["before"], trained_whole["after"]) > 0.01
        for report in trained_apart:
            difference = largest_difference(report["after"], trained_whole["after"])
            print(f"largest difference of a weight: {difference:.1e}")
            assert difference < WEIGHTS_AGREE

    def test_weights_stay_the_same_in_all_processes(self, trained_apart):
        assert largest_difference(trained_apart[0]["after"], trained_apart[1]["after"]) == 0


class TestLogging:
    @pytest.mark.parametrize("name", ["train loss", "validation loss"])
    def test_losses_are_those_of_the_whole_batches(self, trained_apart, trained_whole, name):
        for report in trained_apart:
            assert report[name] == pytest.approx(trained_whole[name], abs=1e-5)

    def test_dice_counts_the_voxels_of_all_processes(self, trained_apart, trained_whole):
        for report in trained_apart:
            assert report["Dice"] == pytest.approx(trained_whole["Dice"], abs=1e-5, nan_ok=True)
