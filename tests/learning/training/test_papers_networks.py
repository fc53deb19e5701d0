"""The paper's networks, trained by the trainers as any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.files import read_json
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer


@pytest.fixture
def trainer(network_class, network_sizes, plans, make_trainer):
    """HermesTrainerPaper with a small network, and more rows in the plans than a member has tasks."""
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer_paper import HermesTrainerPaper

    configuration = plans["configurations"]["3d_fullres"]
    configuration["patch_size"] = [16, 16, 32]  # instance norm needs more than one voxel in the last stage
    configuration["architecture"] = {
        "network_class_name": f"{network_class.__module__}.{network_class.__name__}",
        "arch_kwargs": {"num_modalities": 3, "tokens_per_modality": 4, **network_sizes},
        "_kw_requires_import": [],
    }
    plans["hermes"]["rows_per_case"] = 5
    return make_trainer(trainer_class=HermesTrainerPaper, epochs=1)


class TestTraining:
    def test_a_whole_run_leaves_dice_of_every_member_and_views(self, trainer, network_class):
        trainer.run_training()
        trainer.perform_actual_validation()
        fold = Path(trainer.output_folder)
        dice = json.loads((fold / "validation" / "dice_by_member.json").read_text())
        assert list(dice["members"]) == ["abdomen", "brain"]
        assert trainer.loss.scale_weights == ((0.5, 0.5) if network_class is HermesMedFormer else (1.0,))
        assert trainer.bare_network.context.task_index.tolist() == [[2, 3, -1]]
        for member in ("Dataset011_abdomen", "Dataset012_brain"):
            assert (fold.parents[2] / member / fold.parent.name / "fold_0" / "checkpoint_final.pth").is_file()

    def test_a_view_computes_what_the_validation_computes(self, trainer):
        trainer.run_training()
        checkpoint = Path(trainer.output_folder) / "checkpoint_final.pth"
        view = Path(trainer.output_folder).parents[2] / "Dataset012_brain" / checkpoint.parents[1].name
        plans = PlansManager(read_json(view / "plans.json", ""))
        network = build_network(plans, plans.get_configuration("3d_fullres"), 1, 2, False).eval()
        assert network.context.task_index.tolist() == [[2, 3, -1]]
        network.load_state_dict(torch.load(checkpoint, weights_only=False)["network_weights"])
        trainer.set_deep_supervision_enabled(False)
        trainer.network.eval()
        trainer._tell_context_in_pool_order("brain__y")
        image = torch.randn(1, 1, 16, 16, 32)
        with torch.no_grad():
            torch.testing.assert_close(network(image), trainer.network(image)[:, 2:], rtol=1e-4, atol=1e-5)

    def test_a_batch_has_the_rows_of_its_largest_context_and_one_null_row(self, trainer):
        trainer.collection.members["brain"] = replace(trainer.collection.members["brain"], tasks=("brain/core",))
        trainer.initialize()
        for cases, rows in (
            (["abdomen__a", "brain__x"], [[0, 1, -1], [3, -1, -1]]),
            (["brain__x", "brain__y"], [[3, -1], [3, -1]]),
        ):
            assert trainer._contexts(np.array(cases)).task_index.tolist() == rows
        assert "largest context and one null row (rows_per_case 5 of" in Path(trainer.log_file).read_text()

    def test_cases_of_a_validation_batch_are_run_alone_with_one_null_row(self, trainer):
        trainer.collection.members["brain"] = replace(trainer.collection.members["brain"], tasks=("brain/core",))
        trainer.initialize()
        trainer.network.eval()
        data, cases = torch.randn(2, 1, 16, 16, 32), np.array(["abdomen__a", "brain__x"])
        with torch.no_grad():
            output = trainer._output_of_validation(data, cases)
            trainer.network.set_context(trainer._contexts(cases[1:]))
            alone = trainer.network(data[1:])
        assert output.context.task_index.tolist() == [[0, 1, -1], [3, -1, -1]]
        assert alone.context.task_index.tolist() == [[3, -1]]
        for own, other in zip(output.logits, alone.logits, strict=True):
            assert torch.equal(own[1:, :2], other)
        assert torch.equal(output.modality_logits[1:], alone.modality_logits)

    def test_weights_of_another_collection_are_a_start_but_for_its_own_pools(
        self, trainer, network_class, network_sizes, tmp_path
    ):
        torch.manual_seed(1)
        other = network_class(1, 9, num_modalities=5, tokens_per_modality=4, **network_sizes)
        torch.save({"network_weights": other.state_dict()}, tmp_path / "other.pth")
        trainer.initialize()
        before = {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}
        load_pretrained_weights(trainer.network, str(tmp_path / "other.pth"))
        theirs = other.state_dict()
        for name, tensor in trainer.network.state_dict().items():
            assert torch.equal(tensor, before[name] if ".seg_layers." in name else theirs[name]), name


class TestImportedPlans:
    def test_a_training_does_not_take_plans_whose_images_come_in_other_voxel_orders(self, trainer, plans, make_trainer):
        plans["hermes"]["voxel_orders"] = {"brain": "LPS"}
        with pytest.raises(HermesError, match="is that of imported weights, whose images come in other voxel orders"):
            make_trainer(trainer_class=type(trainer))


@pytest.mark.slow
class TestCompilation:
    def test_numbers_of_rows_need_one_compilation_more_than_a_fixed_number(self, network_class, network_sizes):
        from torch._dynamo.testing import CompileCounter

        from hermes_nnunet.networks.context_batch import ContextBatch

        torch._dynamo.reset()
        counter = CompileCounter()
        network = network_class(1, 6, True, num_modalities=3, **network_sizes)
        compiled = torch.compile(network, backend=counter)
        for rows in (3, 14, 23, 2, 16, 7):
            network.set_context(ContextBatch(torch.zeros(2, rows, dtype=torch.long), torch.tensor([0, 2])))
            compiled(torch.randn(2, 1, 16, 16, 32))
        assert counter.frame_count == 2

    def test_changing_contexts_neither_break_the_graph_nor_compile_again(self, network_class, network_sizes):
        from torch._dynamo.testing import CompileCounter
        from torch._dynamo.utils import counters

        from hermes_nnunet.networks.context_batch import ContextBatch

        torch._dynamo.reset()
        counters.clear()
        counter = CompileCounter()
        network = network_class(1, 6, True, num_modalities=3, **network_sizes)
        compiled = torch.compile(network, backend=counter)
        for tasks, modalities in (([[0, 1], [2, -1]], [0, 2]), ([[5, -1], [3, 4]], [1, 1]), ([[2, 3], [4, 5]], [0, 1])):
            network.set_context(ContextBatch(torch.tensor(tasks), torch.tensor(modalities)))
            compiled(torch.randn(2, 1, 16, 16, 32))
        assert counter.frame_count == 1
        assert not counters["graph_break"]
