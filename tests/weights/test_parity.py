import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.files import read_json
from hermes_nnunet.learning.loss.hermes_loss import HermesLoss
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.weights.importing import import_weights


@pytest.fixture(scope="module")
def outputs():
    """What was computed before, by topology."""
    return {}


@pytest.fixture
def output(topology, reference, results, outputs):
    """What the network computes for the reference's input, after its weights went through a model folder."""
    if topology not in outputs:
        outputs[topology] = import_and_run(reference, results)
    return outputs[topology]


def import_and_run(reference, results):
    folder = import_weights(reference.checkpoint, into=910, name="Tiny", results=results).folder
    plans = PlansManager(read_json(folder / "plans.json", ""))
    labels = read_json(folder / "dataset.json", "")["labels"]
    network = build_network(plans, plans.get_configuration("3d_fullres"), 1, len(labels) - 1, True)
    checkpoint = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=True)
    network.load_state_dict(checkpoint["network_weights"])
    network.eval()
    network.set_context(reference.context)
    with torch.no_grad():
        return network(reference.image)


def relative_difference(ours, theirs):
    return np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()


class TestReference:
    def test_logits_equal_the_papers(self, reference, output):
        assert relative_difference(output.logits[0], reference.arrays["logits"]) < 1e-4

    def test_auxiliary_logits_equal_the_papers(self, reference, output, topology):
        assert len(output.logits) == (2 if topology == "m" else 1)
        for auxiliary in output.logits[1:]:
            assert relative_difference(auxiliary, reference.arrays["aux_logits"]) < 1e-4

    def test_modality_logits_equal_the_papers(self, reference, output):
        assert relative_difference(output.modality_logits, reference.arrays["modality_logits"]) < 1e-4

    def test_losses_equal_the_papers(self, reference, output):
        task_index = reference.context.task_index
        # The reference has a label volume for each pair, so each pair is a case of its own here.
        case, row = torch.nonzero(task_index >= 0, as_tuple=True)
        bce, dice = HermesLoss([[1]] * 12, unknown_modality=3).pair_losses(
            output.logits[0][case, row][:, None],
            reference.label[case, row][:, None].long(),
            task_index[case, row][:, None],
        )
        assert bce.mean().item() == pytest.approx(float(reference.arrays["bce"]), abs=1e-5)
        assert dice.mean().item() == pytest.approx(float(reference.arrays["dice"]), abs=1e-5)
