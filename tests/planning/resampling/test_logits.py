import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.resampling.resample_torch import resample_torch_fornnunet
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.planning.labels.decision import decide, overlapping_groups
from hermes_nnunet.planning.labels.label_manager import HermesLabelManager
from hermes_nnunet.planning.resampling.logits import resample_logits_by_task

REGIONS = {"background": 0, "liver": 5, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "spleen": 4}
SPACING = (1.5, 1.5, 1.5)
# new shape and spacing for logits of 12 x 14 x 10 voxels of 1.5 mm
GRIDS = {
    "finer": ((18, 26, 19), (1.0, 0.8, 0.8)),
    "coarser": ((6, 5, 4), (3.0, 4.2, 3.75)),
    "thick slices": ((5, 26, 19), (4.0, 0.8, 0.8)),
    "the same": ((12, 14, 10), SPACING),
    "one axis": ((12, 21, 10), (1.5, 1.0, 1.5)),
}


def smooth_logits(tasks, shape=(12, 14, 10), seed=0, bias=-1.0):
    """Half-precision logits, above 0 in some places and not in most."""
    coarse = torch.randn(1, tasks, *[max(1, n // 3) for n in shape], generator=torch.Generator().manual_seed(seed))
    return (3 * torch.nn.functional.interpolate(coarse, shape, mode="trilinear")[0] + bias).half()


class TestResampleLogitsByTask:
    @pytest.mark.parametrize("grid", GRIDS)
    def test_logits_are_those_of_nnunet(self, grid):
        shape, spacing = GRIDS[grid]
        logits = smooth_logits(3).numpy()
        ours = resample_logits_by_task(logits, np.array(shape), SPACING, spacing)
        stock = resample_torch_fornnunet(logits, shape, SPACING, spacing, is_seg=False)
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours.to_array(), stock, rtol=0, atol=1e-5)

    def test_the_same_grid_gives_the_same_numbers(self):
        logits = smooth_logits(2)
        assert np.array_equal(resample_logits_by_task(logits, (12, 14, 10), SPACING, SPACING).to_array(), logits)

    def test_planes_are_separate_only_where_nnunet_says_so(self):
        logits, (shape, spacing) = smooth_logits(1), GRIDS["thick slices"]
        linear = resample_logits_by_task(logits, shape, SPACING, spacing, force_separate_z=False)
        stock = resample_torch_fornnunet(logits, shape, SPACING, spacing, force_separate_z=False)
        np.testing.assert_allclose(linear.to_array(), stock, rtol=0, atol=1e-5)
        assert (
            np.abs(linear.to_array() - resample_logits_by_task(logits, shape, SPACING, spacing).to_array()).max() > 0.1
        )


class TestInterpolatedProbabilities:
    """The logits of probabilities that are linear between those of the given logits."""

    @staticmethod
    def resampled(logits, shape, spacing):
        return resample_logits_by_task(logits, shape, SPACING, spacing, interpolate_probabilities=True)

    @pytest.mark.parametrize("grid", GRIDS)
    def test_are_those_of_nnunet_of_the_probabilities(self, grid):
        shape, spacing = GRIDS[grid]
        logits = smooth_logits(3)
        ours = torch.sigmoid(torch.from_numpy(self.resampled(logits, shape, spacing).to_array()))
        probabilities = torch.sigmoid(logits.float()).numpy()
        stock = resample_torch_fornnunet(probabilities, shape, SPACING, spacing, is_seg=False)
        np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-6)

    def test_a_structure_of_one_voxel_keeps_its_width_however_sure_the_network_is_of_what_lies_beside(self):
        logits = torch.full((1, 9, 9, 9), -30.0)
        logits[0, :, 4] = 3.0
        shape, spacing = (9, 90, 9), (1.5, 0.15, 1.5)
        widths = [
            int((resampled.to_array()[0, 4, :, 4] > 0).sum())
            for resampled in (
                self.resampled(logits, shape, spacing),
                resample_logits_by_task(logits, shape, SPACING, spacing),
            )
        ]
        assert widths == [10, 2]

    def test_the_same_grid_gives_the_same_numbers(self):
        logits = 40 * smooth_logits(2)
        assert np.array_equal(self.resampled(logits, (12, 14, 10), SPACING).to_array(), logits)

    def test_sure_logits_keep_their_sign(self):
        logits = torch.tensor([-torch.inf, -200, -20, 20, 200, torch.inf]).expand(1, 1, 1, 6)
        resampled = self.resampled(logits, (1, 1, 12), (1.5, 1.5, 0.75)).to_array().ravel()
        assert (resampled[6:] > 1).all()
        assert (resampled[6:] < 17.5).all()
        assert (resampled[:6] < -1).all()
        # A task that is left out, as a whole, has a probability of 0.
        assert (resampled[:2] == -np.inf).all()


class TestBoxes:
    @given(st.integers(0, 10**6), st.floats(-6, 2), st.sampled_from(sorted(GRIDS)), st.booleans())
    @settings(max_examples=40, deadline=None)
    def test_no_logit_outside_of_them_is_above_zero_and_no_voxel_is_in_two(self, seed, bias, grid, probabilities):
        shape, spacing = GRIDS[grid]
        logits = smooth_logits(2, seed=seed, bias=bias)
        resampled = resample_logits_by_task(logits, shape, SPACING, spacing, interpolate_probabilities=probabilities)
        covered = np.zeros(shape, int)
        for box in resampled.boxes([0, 1]):
            covered[box] += 1
            np.testing.assert_allclose(resampled.in_box(1, box), resampled.whole(1)[box], rtol=0, atol=1e-5)
        assert covered.max() <= 1
        assert not (resampled.to_array().max(0)[covered == 0] > 0).any()

    def test_a_small_structure_is_computed_only_around_itself(self):
        logits = torch.full((1, 40, 40, 40), -5.0)
        logits[0, 10:12, 20:23, 30] = 5
        boxes = list(resample_logits_by_task(logits, (80, 80, 80), (2, 2, 2), (1, 1, 1)).boxes([0]))
        assert all(box[1:] == (slice(39, 47), slice(59, 63)) for box in boxes)
        assert (boxes[0][0].start, boxes[-1][0].stop) == (16, 28)

    def test_nothing_is_computed_of_a_task_that_is_nowhere(self):
        logits = torch.full((1, 8, 8, 8), -1.0)
        assert list(resample_logits_by_task(logits, (16, 16, 16), (2, 2, 2), (1, 1, 1)).boxes([0])) == []


class TestStreamedDecision:
    @given(
        seed=st.integers(0, 10**6),
        values=st.lists(st.sets(st.integers(1, 9), min_size=1), min_size=1, max_size=6),
        bias=st.floats(-4, 2),
        grid=st.sampled_from(sorted(GRIDS)),
        probabilities=st.booleans(),
    )
    @settings(max_examples=60, deadline=None)
    def test_equals_the_decision_over_all_logits_at_once(self, seed, values, bias, grid, probabilities):
        shape, spacing = GRIDS[grid]
        logits = smooth_logits(len(values), seed=seed, bias=bias)
        resampled = resample_logits_by_task(logits, shape, SPACING, spacing, interpolate_probabilities=probabilities)
        written = [max(own) for own in values]
        groups = overlapping_groups(values)
        at_once = decide(torch.from_numpy(resampled.to_array()), 0.0, written, groups)
        assert torch.equal(decide(resampled, 0.0, written, groups), at_once)


class TestLabelManager:
    @pytest.fixture
    def manager(self):
        return HermesLabelManager(REGIONS, [5, 1, 2, 3, 4])

    def test_probabilities_are_the_sigmoid_of_all_logits(self, manager):
        resampled = resample_logits_by_task(smooth_logits(5), *GRIDS["finer"], SPACING)
        expected = torch.sigmoid(torch.from_numpy(resampled.to_array()))
        assert torch.allclose(manager.apply_inference_nonlin(resampled), expected, rtol=0, atol=1e-6)

    def test_a_wrong_number_of_tasks_is_refused(self, manager):
        with pytest.raises(ValueError, match="5 tasks, got 2"):
            manager.convert_logits_to_segmentation(resample_logits_by_task(smooth_logits(2), *GRIDS["finer"], SPACING))


class TestStockExport:
    """nnU-Net's own export, with plans that name our function and with plans that name nnU-Net's."""

    @pytest.fixture(params=["finer", "coarser", "thick slices", "the same"])
    def properties(self, request):
        shape, spacing = GRIDS[request.param]
        return {
            "spacing": spacing,
            "shape_after_cropping_and_before_resampling": shape,
            "shape_before_cropping": [n + 5 for n in shape],
            "bbox_used_for_cropping": [[2, 2 + n] for n in shape],
        }

    def exported(self, plans, dataset_json, properties, function, options, probabilities):
        configuration = plans["configurations"]["3d_fullres"]
        configuration |= {"resampling_fn_probabilities": function, "resampling_fn_probabilities_kwargs": options}
        manager = PlansManager(plans)
        return convert_predicted_logits_to_segmentation_with_correct_shape(
            smooth_logits(4).numpy(),
            manager,
            manager.get_configuration("3d_fullres"),
            manager.get_label_manager(dataset_json),
            properties,
            return_probabilities=probabilities,
            num_threads_torch=1,
        )

    @pytest.mark.parametrize("probabilities", [False, True])
    def test_gives_the_same(self, plans, dataset_json, properties, probabilities):
        arguments = plans, dataset_json, properties
        ours = self.exported(*arguments, "resample_logits_by_task", {"force_separate_z": None}, probabilities)
        stock = self.exported(*arguments, "resample_torch_fornnunet", {"is_seg": False}, probabilities)
        if probabilities:
            np.testing.assert_allclose(ours[1], stock[1], rtol=0, atol=1e-5)
            ours, stock = ours[0], stock[0]
        assert ours.dtype == stock.dtype == np.uint8
        assert len(np.unique(ours)) > 2
        assert np.array_equal(ours, stock)
