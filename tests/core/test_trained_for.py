import copy
import json

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

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("spacing", lambda plans: plans["configurations"]["3d_fullres"].update(spacing=[3.0, 3.0, 3.0])),
            ("intensity_clipping", lambda plans: plans["hermes"]["intensity_clipping"].update(CT={"range": [0, 1]})),
            ("intensity_clipping", lambda plans: plans["hermes"]["intensity_clipping"].update(T1={"range": [0, 1]})),
        ],
    )
    def test_of_other_images_are_refused(self, checkpoint, plans, name, change):
        change(plans)
        with pytest.raises(HermesError, match=rf"^w\.pth was trained on images of another {name} .*\): train$"):
            check_trained_for(checkpoint, plans, "w.pth", "train")

    @pytest.mark.parametrize("arguments", [{}, {"init_args": None}, {"init_args": {"plans": {"plans_name": "x"}}}])
    def test_that_do_not_say_what_for_are_taken_as_they_are(self, plans, arguments):
        check_trained_for(arguments, plans, "w.pth", "train")


class TestAdditions:
    """Of one shape, so that weights of one load where another is meant."""

    @pytest.fixture
    def header(self):
        return {"member": {"name": "new"}, "tasks": [{"name": "new/task", "values": [1]}], "new_modalities": ["T2"]}

    @pytest.fixture
    def with_addition(self, checkpoint, plans, header):
        """Plans and weights that an addition was put into, made of the same base."""
        block = plans["hermes"]
        block["additions"] = [{"member": "new", "tasks": ["new/task"], "new_modalities": ["T2"], "rank": 4}]
        block["tasks"] = [*block["tasks"], "new/task"]
        block["modalities"] = [*block["modalities"][:-1], "T2", "unknown"]
        checkpoint["hermes_additions"] = [json.dumps(header)]
        return checkpoint

    def test_that_the_plans_have(self, with_addition, plans):
        check_trained_for(with_addition, plans, "w.pth", "train")

    def test_bring_rules_of_their_modalities(self, with_addition, plans):
        plans["hermes"]["intensity_clipping"]["T2"] = {"range": [0, 1]}
        check_trained_for(with_addition, plans, "w.pth", "train")

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda header: [{**header, "member": {"name": "old"}}], "has the additions old, its plans have new now:"),
            (lambda header: [{**header, "tasks": [{"name": "x"}]}], ".* have new now with other tasks or modalities:"),
            (lambda header: [], "has the additions none, its plans have new now:"),
            (lambda header: [header, header], "has the additions new, new, its plans have new now:"),
        ],
    )
    def test_others_are_refused(self, with_addition, plans, header, change, says):
        with_addition["hermes_additions"] = [json.dumps(one) for one in change(header)]
        with pytest.raises(HermesError, match=rf"^w\.pth {says}.* train$"):
            check_trained_for(with_addition, plans, "w.pth", "train")

    @pytest.mark.parametrize("damaged", [3, ["{"], ["{}"], [b"{}"]])
    def test_that_are_none_are_refused(self, with_addition, plans, damaged):
        with_addition["hermes_additions"] = damaged
        with pytest.raises(HermesError, match=r"^w\.pth.* train$"):
            check_trained_for(with_addition, plans, "w.pth", "train")

    def test_over_a_base_of_another_order_are_refused(self, with_addition, plans):
        swap(plans, "tasks")
        with pytest.raises(HermesError, match="trained for other tasks"):
            check_trained_for(with_addition, plans, "w.pth", "train")

    def test_of_weights_that_do_not_say_what_else_are_compared(self, with_addition, plans):
        del with_addition["init_args"]
        check_trained_for(with_addition, plans, "w.pth", "train")
        plans["hermes"]["additions"] = []
        with pytest.raises(HermesError, match="has the additions new, its plans have none now"):
            check_trained_for(with_addition, plans, "w.pth", "train")


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
