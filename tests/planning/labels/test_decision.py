import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hermes_nnunet.planning.labels.decision import decide, overlapping_groups


class TestGroups:
    def test_tasks_without_common_values_stay_alone(self):
        assert overlapping_groups([[1], [2], [3]]) == [[0], [1], [2]]

    def test_nested_regions_form_a_group(self):
        assert overlapping_groups([[1], [2, 3, 4], [3, 4], [4], [5]]) == [[0], [1, 2, 3], [4]]

    def test_tasks_are_joined_through_a_third(self):
        assert overlapping_groups([[1, 2], [3, 4], [2, 3]]) == [[0, 1, 2]]

    @given(st.lists(st.sets(st.integers(1, 12), min_size=1), min_size=1, max_size=8))
    def test_every_task_is_in_one_group_and_groups_share_no_value(self, values):
        groups = overlapping_groups(values)
        assert sorted(task for group in groups for task in group) == list(range(len(values)))
        owned = [set().union(*(values[task] for task in group)) for group in groups]
        assert sum(map(len, owned)) == len(set().union(*owned))


class TestDecision:
    def test_the_highest_task_above_the_threshold_wins(self):
        logits = torch.tensor([[1.0, -1.0, 2.0, -3.0], [2.0, -2.0, 1.0, 4.0]]).reshape(2, 4, 1, 1)
        assert decide(logits, 0.0, [7, 5], [[0], [1]]).flatten().tolist() == [5, 0, 7, 5]

    def test_regions_are_painted_in_order_as_nnunet_does(self):
        whole, core = [1.0, 5.0, -1.0, -1.0], [-1.0, 0.5, 2.0, -2.0]
        logits = torch.tensor([whole, core]).reshape(2, 4, 1, 1)
        assert decide(logits, 0.0, [1, 2], [[0, 1]]).flatten().tolist() == [1, 2, 2, 0]

    def test_a_painted_region_competes_with_its_own_score(self):
        # whole is sure, its core on top is not: the other task wins against the core's score
        logits = torch.tensor([[5.0], [0.5], [2.0]]).reshape(3, 1, 1, 1)
        assert decide(logits, 0.0, [1, 2, 3], [[0, 1], [2]]).item() == 3

    @given(hnp.arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-5, 5, width=16)))
    def test_logits_and_probabilities_decide_alike(self, logits):
        logits = torch.from_numpy(np.where(np.abs(logits) < 1e-3, 1, logits))
        groups = [[0, 1], [2]]
        by_logits = decide(logits.double(), 0.0, [1, 2, 3], groups)
        by_probabilities = decide(torch.sigmoid(logits.double()), 0.5, [1, 2, 3], groups)
        assert torch.equal(by_logits, by_probabilities)
