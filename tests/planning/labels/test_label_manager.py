import numpy as np
import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from hermes_nnunet.planning.labels.label_manager import HermesLabelManager

FLAT = {"background": 0, "liver": 2, "spleen": 1}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}


class TestTasks:
    def test_every_label_has_a_channel_in_the_order_of_dataset_json(self):
        manager = HermesLabelManager(FLAT, None)
        assert manager.foreground_regions == [2, 1]
        assert manager.num_segmentation_heads == 2
        assert manager.has_regions

    def test_regions_are_tuples_and_the_ignore_label_is_no_task(self):
        manager = HermesLabelManager({**REGIONS, "ignore": 4}, [1, 2, 3])
        assert manager.foreground_regions == [(1, 2, 3), (2, 3), 3]
        assert manager.ignore_label == 4


class TestSegmentation:
    def test_values_are_those_of_dataset_json(self):
        logits = torch.full((2, 1, 1, 3), -1.0)
        logits[0, 0, 0, 0] = logits[1, 0, 0, 2] = 1
        assert HermesLabelManager(FLAT, None).convert_logits_to_segmentation(logits).flatten().tolist() == [2, 0, 1]

    def test_nested_regions_equal_stock_nnunet(self):
        torch.manual_seed(0)
        logits = torch.randn(3, 6, 6, 6)
        ours = HermesLabelManager(REGIONS, [1, 2, 3]).convert_logits_to_segmentation(logits)
        stock = LabelManager(REGIONS, [1, 2, 3]).convert_logits_to_segmentation(logits)
        assert torch.equal(ours, stock)

    def test_probabilities_and_logits_agree_for_arrays_and_half_precision(self):
        torch.manual_seed(0)
        manager = HermesLabelManager(FLAT, None)
        logits = torch.randn(2, 5, 5, 5).half()
        segmentation = manager.convert_logits_to_segmentation(logits)
        probabilities = manager.apply_inference_nonlin(logits).numpy()
        from_probabilities = manager.convert_probabilities_to_segmentation(probabilities)
        assert from_probabilities.dtype == np.uint16
        assert np.array_equal(segmentation.numpy(), from_probabilities)

    def test_a_wrong_number_of_channels_is_refused(self):
        with pytest.raises(ValueError, match="2 tasks, got 3"):
            HermesLabelManager(FLAT, None).convert_logits_to_segmentation(torch.zeros(3, 2, 2, 2))
