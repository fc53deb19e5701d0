import pytest
import torch

from hermes_nnunet.networks.context_batch import ContextBatch
from hermes_nnunet.networks.turning import turned_back
from hermes_nnunet.voxel_orders import turn_of
from hermes_nnunet.weights.teaching.cases import Batch
from hermes_nnunet.weights.teaching.first_rows import FirstRows, candidates_of, pools_of
from tests.networks.test_hermes_unet import make_network

TASKS = 6


@pytest.fixture
def network():
    return make_network(deep_supervision=True)


@pytest.fixture
def first(network):
    """Labels that a classifier of the network's own features has drawn, for two of its six tasks."""
    torch.manual_seed(3)
    context = ContextBatch(torch.arange(TASKS)[None], torch.tensor([0]))
    images = torch.randn(2, 1, 16, 16, 16)
    with torch.no_grad():
        network.set_context(context.repeated(2))
        features, _ = network.features_and_posteriors(images, context.repeated(2))
        score = features[0][:, :1] - features[0][:, 1:2]
        labels = (score > score.quantile(0.9)).to(torch.int16) * 2
    return FirstRows(network, context, [Batch(images[:1], labels[:1]), Batch(images[1:], labels[1:])])


def test_classifiers_know_where_the_labels_are_of_images_that_the_network_sees_in_another_order(network, first):
    turn = turn_of("LPI")
    first.set_classifiers()
    as_it_is = network.decoder.heads[0].seg_layers["classifiers"].weight.clone()
    batches = [Batch(*(turned_back(part, turn) for part in (own.images, own.labels))) for own in first._batches]
    FirstRows(network, first._context._replace(turn=turn), batches).set_classifiers()
    assert torch.equal(network.decoder.heads[0].seg_layers["classifiers"].weight, as_it_is)


def dice(network, batch, task):
    with torch.no_grad():
        logits = network(batch.images).logits[0][:, task]
    there = batch.labels[:, 0] == task + 1
    return float(2 * ((logits > 0) & there).sum() / ((logits > 0).sum() + there.sum()))


def test_classifiers_find_what_the_features_tell(first, network):
    first.set_classifiers()
    assert dice(network, first._batches[0], task=1) > 0.95


def test_priors_are_chosen_by_the_loss(first, network):
    pools = pools_of(network)
    assert pools == ["encoder_fusion.2.seg_layers.priors.tasks"]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    candidates = candidates_of(weights, {"x": 4}, pools)
    assert list(candidates) == ["the mean of all tasks", "x"]
    torch.testing.assert_close(candidates["the mean of all tasks"][pools[0]], weights[pools[0]][:-1].mean(0))
    # Tokens that make all features infinite tell nothing.
    candidates["broken"] = {pools[0]: torch.full((16,), 1e4)}
    chosen = first.choose_priors(candidates)
    assert chosen in ("the mean of all tasks", "x")
    rows = network.state_dict()[pools[0]]
    assert torch.equal(rows[:-1], candidates[chosen][pools[0]].expand(TASKS, -1))
    assert torch.equal(rows[-1], weights[pools[0]][-1])
