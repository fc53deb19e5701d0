import torch

from hermes_nnunet.learning.training.hard_counts import hard_counts

VALUES = torch.tensor([[1, -1], [2, 3], [4, -1], [-1, -1]])


def test_counts_land_at_the_row_of_their_task():
    labels = torch.tensor([[2, 3, 1, 0], [4, 4, 0, 4]], dtype=torch.int16).reshape(2, 1, 4, 1, 1)
    logits = torch.tensor([[[1.0, -1, 1, -1], [9, 9, 9, 9]], [[1, 1, 1, -1], [-1, 1, -1, -1]]]).reshape(2, 2, 4, 1, 1)
    counts = hard_counts(logits, labels, torch.tensor([[1, -1], [2, 0]]), VALUES, None)
    assert counts["tp_hard"].tolist() == [0, 1, 2]
    assert counts["fp_hard"].tolist() == [1, 1, 1]
    assert counts["fn_hard"].tolist() == [0, 1, 1]


def test_ignored_voxels_are_not_counted():
    labels = torch.tensor([1, 5, 5, 1]).reshape(1, 1, 4, 1, 1)
    counts = hard_counts(torch.ones(1, 1, 4, 1, 1), labels, torch.tensor([[0]]), VALUES, 5)
    assert [counts[key][0] for key in ("tp_hard", "fp_hard", "fn_hard")] == [2, 0, 0]
