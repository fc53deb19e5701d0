import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.networks.contextual import ABSENT_LOGIT
from hermes_nnunet.plans import HermesPlans


def build(plans, outputs):
    manager = PlansManager(plans)
    return build_network(manager, manager.get_configuration("3d_fullres"), 1, outputs, enable_deep_supervision=False)


def test_the_universal_model_is_told_all_tasks_and_the_unknown_modality(plans):
    context = build(plans, 4).context
    assert context.task_index.tolist() == [[0, 1, 2, 3]]
    assert context.modality_index.tolist() == [2]


def test_a_view_is_told_its_members_context(plans):
    plans["hermes"] = HermesPlans.from_plans(plans).of_member("brain").to_block()
    plans["dataset_name"] = "Dataset012_brain"
    context = build(plans, 2).context
    assert context.task_index.tolist() == [[2, 3]]
    assert context.modality_index.tolist() == [1]


class TestTasksThatNeverSawTheModality:
    LINE = (
        "Tasks left out, since no CT was among their training images: brain/whole, brain/core; "
        "HERMES_ALL_MODALITIES=1 brings them back\n"
    )

    @pytest.fixture(autouse=True)
    def _of_a_ct(self, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "CT")

    def test_are_not_told_and_their_channels_stay_empty(self, plans, capsys):
        network = build(plans, 4)
        assert network.context.task_index.tolist() == [[0, 1]]
        assert network.context.channel_rows.tolist() == [0, 1, -1, -1]
        assert capsys.readouterr().out == self.LINE
        logits = network.eval()(torch.randn(1, 1, 16, 16, 16))
        assert logits.shape[1] == 4
        assert torch.equal(logits[:, 2:], torch.full_like(logits[:, 2:], ABSENT_LOGIT))
        assert torch.sigmoid(logits[:, 2:]).count_nonzero() == 0

    def test_come_back_on_request(self, plans, capsys, monkeypatch):
        monkeypatch.setenv("HERMES_ALL_MODALITIES", "1")
        assert build(plans, 4).context.task_index.tolist() == [[0, 1, 2, 3]]
        assert capsys.readouterr().out == ""

    def test_are_told_where_the_modality_is_unknown_or_of_no_member(self, plans, monkeypatch):
        monkeypatch.setenv("HERMES_MODALITY", "unknown")
        assert build(plans, 4).context.task_index.tolist() == [[0, 1, 2, 3]]
        plans["hermes"]["modalities"] = ["CT", "T1", "PET", "unknown"]
        arguments = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
        arguments["num_modalities"] = 4
        monkeypatch.setenv("HERMES_MODALITY", "PET")
        assert build(plans, 4).context.task_index.tolist() == [[0, 1, 2, 3]]

    def test_are_told_by_their_members_view(self, plans, capsys):
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("brain").to_block()
        plans["dataset_name"] = "Dataset012_brain"
        assert build(plans, 2).context.task_index.tolist() == [[2, 3]]
        assert capsys.readouterr().out == ""

    def test_are_told_by_plans_that_name_them(self, plans, capsys):
        plans["hermes"]["context"]["tasks"] = ["brain/core"]
        assert build(plans, 1).context.task_index.tolist() == [[3]]
        assert capsys.readouterr().out == ""

    def test_are_no_matter_of_a_training(self, plans, capsys):
        manager = PlansManager(plans)
        build_network(manager, manager.get_configuration("3d_fullres"), 1, 4, enable_deep_supervision=True)
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("rows_per_case", [2, 23])
def test_the_papers_networks_are_told_one_null_row_beside_the_tasks(plans, rows_per_case):
    plans["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": "hermes_nnunet.networks.hermes_resunet.HermesResUNet",
        "arch_kwargs": {"base_width": 4, "num_modalities": 3},
        "_kw_requires_import": [],
    }
    plans["hermes"]["rows_per_case"] = rows_per_case
    context = build(plans, 4).context
    assert (context.task_index.tolist(), context.channel_rows.tolist()) == ([[0, 1, 2, 3, -1]], [0, 1, 2, 3])
    plans["hermes"] = HermesPlans.from_plans(plans).of_member("brain").to_block()
    context = build(plans, 2).context
    assert (context.task_index.tolist(), context.channel_rows.tolist()) == ([[2, 3, -1]], [0, 1])


def test_labels_that_do_not_fit_the_plans_are_refused(plans):
    with pytest.raises(HermesError, match="3 labels, but its plans predict 4 tasks"):
        build(plans, 3)


@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [("nonlin_kwargss", {}, "TypeError"), ("strides", [], "AssertionError"), ("nonlin_kwargs", {"x": 1}, "TypeError")],
)
def test_arguments_that_the_network_does_not_take_are_refused_in_one_line(plans, argument, value, kind):
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"][argument] = value
    with pytest.raises(HermesError, match=rf"^the plans of 'Dataset900_Both': .*arch_kwargs.*({kind}).*copy") as raised:
        build(plans, 4)
    assert "\n" not in str(raised.value)


class TestWhoHasNotNamedTheModality:
    def test_is_told_which_there_are(self, plans, capsys):
        build(plans, 4)
        assert capsys.readouterr().out == (
            "The modality of the images is not named, and these plans lack what it is found by (a modality_classifier "
            "of all members, which older releases and their additions do not bring, nor single slices), so less is "
            "found in them, or nothing: set HERMES_MODALITY to what they are (CT, T1)\n"
        )

    @pytest.mark.parametrize("named", ["CT", "unknown"])
    def test_is_not_told_after_naming_it(self, plans, capsys, monkeypatch, named):
        monkeypatch.setenv("HERMES_MODALITY", named)
        build(plans, 4)
        assert "is not named" not in capsys.readouterr().out

    def test_is_not_told_by_a_view_or_a_training(self, plans, capsys):
        manager = PlansManager(plans)
        build_network(manager, manager.get_configuration("3d_fullres"), 1, 4, enable_deep_supervision=True)
        plans["hermes"] = HermesPlans.from_plans(plans).of_member("brain").to_block()
        build(plans, 2)
        assert capsys.readouterr().out == ""

    def test_is_not_told_where_members_have_images_of_unknown_modality(self, plans, capsys):
        plans["hermes"]["members"]["brain"]["channels"] = {"unknown": None}
        build(plans, 4)
        assert capsys.readouterr().out == ""
