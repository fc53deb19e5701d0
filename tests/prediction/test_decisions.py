import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.planning.labels.decision import decide, overlapping_groups
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.passes import choose

# A crop of the middle of an image, and its resampling to twice the voxels along the first axis.
CROPPED = {
    "spacing": [0.75, 1.5, 1.5],
    "shape_before_cropping": (12, 6, 7),
    "shape_after_cropping_and_before_resampling": (8, 4, 5),
    "bbox_used_for_cropping": [[2, 10], [1, 5], [1, 6]],
}


def decision_of(plans):
    manager = PlansManager(plans)
    return CaseDecision(manager, manager.get_configuration("3d_fullres"))


class TestOnePass:
    def test_one_task_after_another_decides_as_all_at_once(self, plans, read_model):
        (one,) = choose(read_model, members=["brain"]).passes
        logits = torch.randn(2, 4, 4, 5, generator=torch.Generator().manual_seed(0)).half()
        decision = decision_of(plans)
        decision.add(one, logits, CROPPED)
        probabilities = torch.sigmoid(logits[None].float())
        resampled = torch.nn.functional.interpolate(probabilities, (8, 4, 5), mode="trilinear")[0]
        values = [label.value for label in one.labels]
        expected = decide(resampled, 0.5, values, overlapping_groups([label.values for label in one.labels]))
        assert set(np.unique(expected)) == {0, 1, 2}
        np.testing.assert_array_equal(decision.label_map[2:10, 1:5, 1:6], expected)

    def test_what_was_cropped_away_is_certain_background(self, plans, read_model):
        (one,) = choose(read_model, members=["abdomen"]).passes
        taken = {}
        decision = decision_of(plans)
        decision.add(
            one, torch.full((2, 4, 4, 5), 3.0).half(), CROPPED, lambda label, logits: taken.update({label: logits})
        )
        assert list(taken) == list(one.labels)
        for logits in taken.values():
            assert logits.shape == (12, 6, 7)
            assert torch.isinf(logits).sum() == 12 * 6 * 7 - 8 * 4 * 5
            assert torch.sigmoid(logits[0, 0, 0]) == 0
        assert np.count_nonzero(decision.label_map) == 8 * 4 * 5


class TestPlansWithNnunetsResampling:
    def test_decide_and_show_the_same(self, plans, read_model):
        (one,) = choose(read_model, members=["brain"]).passes
        logits = torch.randn(2, 4, 4, 5, generator=torch.Generator().manual_seed(0)).half()
        label_maps, taken = [], []
        for function, options in (
            ("resample_logits_by_task", {"force_separate_z": None}),
            ("resample_torch_fornnunet", {"is_seg": False}),
        ):
            configuration = plans["configurations"]["3d_fullres"]
            configuration |= {"resampling_fn_probabilities": function, "resampling_fn_probabilities_kwargs": options}
            for take in (None, lambda label, scores: taken.append(scores.clamp(min=-99))):
                decision = decision_of(plans)
                decision.add(one, logits, CROPPED, take)
                label_maps.append(decision.label_map)
        assert set(np.unique(label_maps[0])) == {0, 1, 2}
        for label_map in label_maps[1:]:
            np.testing.assert_array_equal(label_map, label_maps[0])
        torch.testing.assert_close(taken[:2], taken[2:], rtol=0, atol=1e-4)


class TestSeveralPasses:
    def test_the_highest_score_wins_whatever_the_order(self, plans, read_model):
        passes = choose(read_model, members=["abdomen", "brain"]).passes
        same = {**CROPPED, "spacing": [1.5] * 3, "shape_before_cropping": (1, 1, 4)}
        same |= {
            "shape_after_cropping_and_before_resampling": (1, 1, 4),
            "bbox_used_for_cropping": [[0, 1], [0, 1], [0, 4]],
        }
        logits = {
            "abdomen": torch.tensor([[-1.0, 2.0, 2.0, -1.0], [-1.0, 1.0, 3.0, -2.0]]),
            "brain": torch.tensor([[-3.0, 1.0, 5.0, 4.0], [-3.0, -1.0, 4.0, -4.0]]),
        }
        for order in (passes, passes[::-1]):
            decision = decision_of(plans)
            for one in order:
                decision.add(one, logits[one.labels[0].member].reshape(2, 1, 1, 4).half(), same)
            # The collection's values: liver 1, spleen 2, whole tumour 3, its core 4 on top of it.
            assert decision.label_map.ravel().tolist() == [0, 1, 4, 3]
