import pytest
import torch

from hermes_nnunet.networks.context_batch import NULL_ROW, ContextBatch
from hermes_nnunet.networks.turning import turned_back
from hermes_nnunet.voxel_orders import turn_of
from hermes_nnunet.weights.additions.first_rows import FirstPatches, FirstRows, candidates_of, pools_of
from tests.networks.test_hermes_unet import make_network

TASKS = 6
VALUES = [(value,) for value in range(1, TASKS + 1)]
CONTEXT = ContextBatch(torch.arange(TASKS)[None], torch.tensor([0]))


@pytest.fixture
def network():
    return make_network(deep_supervision=True)


def targets_of(network, labels):
    sizes = [[round(16 * share) for share in own] for own in network.supervision_scales]
    return [torch.nn.functional.interpolate(labels.float(), size).to(labels.dtype) for size in sizes]


@pytest.fixture
def patches(network):
    """Labels that a classifier of the network's own features has drawn, for the second of its six tasks."""
    torch.manual_seed(3)
    images = torch.randn(2, 1, 16, 16, 16)
    with torch.no_grad():
        network.set_context(CONTEXT.repeated(2))
        features, _ = network.features_and_posteriors(images, CONTEXT.repeated(2))
        score = features[0][:, :1] - features[0][:, 1:2]
        labels = (score > score.quantile(0.9)).to(torch.int16) * 2
    return [
        FirstPatches(images[case : case + 1], targets_of(network, labels[case : case + 1]), CONTEXT)
        for case in range(2)
    ]


def classifiers_of(network):
    return network.decoder.heads[0].seg_layers["classifiers"]


def dice(network, patches, task):
    with torch.no_grad():
        network.set_context(patches.contexts)
        logits = network(patches.images).logits[0][:, task]
    there = patches.targets[0][:, 0] == task + 1
    return float(2 * ((logits > 0) & there).sum() / ((logits > 0).sum() + there.sum()))


def test_classifiers_find_what_the_features_tell(network, patches):
    FirstRows(network, patches, VALUES).set_classifiers()
    assert dice(network, patches[0], task=1) > 0.95


def test_classifiers_of_tasks_that_no_patch_shows_stay(network, patches):
    weight, bias = (parameter.clone() for parameter in classifiers_of(network).parameters())
    FirstRows(network, patches, VALUES).set_classifiers()
    only_that_of_the_shown_task = [False, True, *[False] * (TASKS - 1)]
    assert (classifiers_of(network).weight != weight).any(dim=1).tolist() == only_that_of_the_shown_task
    assert (classifiers_of(network).bias != bias).tolist() == only_that_of_the_shown_task


def test_cases_that_do_not_annotate_a_task_say_nothing_of_it(network, patches):
    """The other case's labels are the opposite of the truth, and would spoil the fit if they counted."""
    others = torch.arange(TASKS)[None].where(torch.arange(TASKS) != 1, NULL_ROW)
    wrong = [2 - target for target in patches[1].targets]
    silent = FirstPatches(patches[1].images, wrong, CONTEXT._replace(task_index=others))
    FirstRows(network, [patches[0], silent], VALUES).set_classifiers()
    silenced = classifiers_of(network).weight[1].clone()
    assert dice(network, patches[0], task=1) > 0.9
    FirstRows(network, patches[:1], VALUES).set_classifiers()
    # The ridge counts twice as much in relation to one patch of two, so the direction is the same, not the length.
    alone = classifiers_of(network).weight[1]
    assert torch.nn.functional.cosine_similarity(silenced, alone, dim=0) > 0.9
    FirstRows(network, [patches[0], FirstPatches(patches[1].images, wrong, CONTEXT)], VALUES).set_classifiers()
    assert dice(network, patches[0], task=1) < 0.9


def test_ignored_voxels_say_nothing(network, patches):
    ignored = []
    for own in patches:
        targets = [target.clone() for target in own.targets]
        for target in targets:
            # The half of the patch where nothing is known.
            target[:, :, : target.shape[2] // 2] = 9
        ignored.append(FirstPatches(own.images, targets, own.contexts))
    first = FirstRows(network, ignored, VALUES, ignore_label=9)
    chosen, weights = first._drawn(ignored[0].targets[0].flatten(), torch.Generator().manual_seed(0))
    assert (ignored[0].targets[0].flatten()[chosen] != 9).all()
    assert float(weights.sum()) == pytest.approx(16**3 / 2)
    first.set_classifiers()
    assert dice(network, patches[0], task=1) > 0.9


def test_a_task_of_several_label_values_has_the_voxels_of_all(network, patches):
    """A region: its two values lie on the two halves of what the features tell."""
    halves = []
    for own in patches:
        targets = [target.clone() for target in own.targets]
        for target in targets:
            first_half = target[:, :, : target.shape[2] // 2]
            first_half[first_half == 2] = 1
        halves.append(FirstPatches(own.images, targets, own.contexts))
    FirstRows(network, halves, [(5,), (1, 2), (1,), (6,), (7,), (8,)]).set_classifiers()
    assert dice(network, patches[0], task=1) > 0.95


def test_classifiers_know_where_the_labels_are_of_images_that_the_network_sees_in_another_order(network, patches):
    turn = turn_of("LPI")
    FirstRows(network, patches, VALUES).set_classifiers()
    as_it_is = classifiers_of(network).weight.clone()
    turned = [
        FirstPatches(
            turned_back(own.images, turn),
            [turned_back(target, turn) for target in own.targets],
            CONTEXT._replace(turn=turn),
        )
        for own in patches
    ]
    FirstRows(network, turned, VALUES).set_classifiers()
    assert torch.equal(classifiers_of(network).weight, as_it_is)


def test_priors_are_chosen_by_the_loss(network, patches):
    pools = pools_of(network)
    assert pools == ["encoder_fusion.2.seg_layers.priors.tasks"]
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    candidates = candidates_of(weights, {"x": 4}, pools)
    assert list(candidates) == ["the mean of all tasks", "x"]
    torch.testing.assert_close(candidates["the mean of all tasks"][pools[0]], weights[pools[0]][:-1].mean(0))
    # Tokens that make all features infinite tell nothing.
    candidates["broken"] = {pools[0]: torch.full((16,), 1e4)}
    chosen = FirstRows(network, patches, VALUES).choose_priors(candidates)
    assert chosen in ("the mean of all tasks", "x")
    rows = network.state_dict()[pools[0]]
    assert torch.equal(rows[:-1], candidates[chosen][pools[0]].expand(TASKS, -1))
    assert torch.equal(rows[-1], weights[pools[0]][-1])
