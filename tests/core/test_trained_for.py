import copy

import pytest
import torch

from hermes_nnunet.core.trained_for import check_other_folds, check_trained_for
from hermes_nnunet.errors import HermesError


@pytest.fixture
def checkpoint(plans):
    """As a training with these plans writes it."""
    return {"init_args": {"plans": copy.deepcopy(plans), "configuration": "3d_fullres"}}


def swap(plans, name):
    block = plans["hermes"]
    block[name] = [block[name][1], block[name][0], *block[name][2:]]


class TestWeights:
    def test_of_these_plans(self, checkpoint, plans):
        check_trained_for(checkpoint, plans, "w.pth", "train")

    @pytest.mark.parametrize(
        ("name", "says"),
        [("tasks", "abdomen/liver where now abdomen/spleen is"), ("modalities", "CT where now T1 is")],
    )
    def test_of_another_order_are_refused(self, checkpoint, plans, name, says):
        swap(plans, name)
        with pytest.raises(HermesError, match=rf"^w\.pth was trained for other {name} .*\({says}\): train$"):
            check_trained_for(checkpoint, plans, "w.pth", "train")

    def test_of_fewer_tasks_are_refused(self, checkpoint, plans):
        plans["hermes"]["tasks"] = [*plans["hermes"]["tasks"], "brain/edema"]
        with pytest.raises(HermesError, match=r"\(4, now 5\)"):
            check_trained_for(checkpoint, plans, "w.pth", "train")

    @pytest.mark.parametrize("arguments", [{}, {"init_args": None}, {"init_args": {"plans": {"plans_name": "x"}}}])
    def test_that_do_not_say_what_for_are_taken_as_they_are(self, plans, arguments):
        check_trained_for(arguments, plans, "w.pth", "train")

    def test_with_additions_put_in_are_taken_as_they_are(self, checkpoint, plans):
        plans["hermes"]["additions"] = [{}]
        plans["hermes"]["tasks"] = [*plans["hermes"]["tasks"], "new/task"]
        check_trained_for(checkpoint, plans, "w.pth", "train")


def test_folds_of_one_model_are_of_one_order(tmp_path, checkpoint, plans):
    for fold in (0, 1):
        (tmp_path / f"fold_{fold}").mkdir()
        torch.save(checkpoint, tmp_path / f"fold_{fold}" / "checkpoint_best.pth")
    check_other_folds(tmp_path / "fold_0", plans)
    swap(plans, "tasks")
    with pytest.raises(HermesError, match=rf"fold_1/checkpoint_best\.pth was trained .* move {tmp_path} away"):
        check_other_folds(tmp_path / "fold_0", plans)
    (tmp_path / "fold_1" / "checkpoint_best.pth").write_bytes(b"half of a file")
    check_other_folds(tmp_path / "fold_0", plans)
