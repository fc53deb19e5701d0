"""Which of two modalities an image is of, by the network's own modality head."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from torch.nn import functional

from hermes_nnunet.collection import UNKNOWN_MODALITY
from hermes_nnunet.core.evenly import evenly_chosen
from hermes_nnunet.networks.build import prediction_context
from hermes_nnunet.planning.modality.finder import FoundModality
from hermes_nnunet.prediction.image_sources import ImageSource
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.prediction.predictor import HermesPredictor
from hermes_nnunet.prediction.preparing import prepare

MOST_PATCHES = 8


@torch.inference_mode()
def modality_by_network(
    predictor: HermesPredictor, source: ImageSource, close: FoundModality, sure: float
) -> FoundModality:
    """Choose between the two modalities that the looks of an image leave close.

    The network is told "unknown", as it was for a share of its training patches, and the tasks of each member that has
    one of the two: in the mean, so that the tasks that it is told do not decide.

    Args:
        close: the two, as modality and runner-up.
        sure: probability from which on the choice is taken.

    Raises:
        HermesError: the image cannot be read.
    """
    assert close.probability is not None
    assert close.runner_up is not None
    model = predictor.model
    names = (close.modality, close.runner_up)
    passes = {name: list(_told_unknown(predictor, name)) for name in names}
    with tempfile.TemporaryDirectory(prefix="hermes_nnunet-") as folder:
        one = passes[close.modality][0]
        prepared = prepare(source, [one], model, predictor.configuration_manager, Path(folder))
        image, _ = prepared.input_of(one)
    rows = [model.hermes_plans.modalities.index(name) for name in names]
    of_names = [torch.stack([_logits(predictor, told, image)[rows] for told in own]).mean(0) for own in passes.values()]
    of_either = close.probability + close.runner_up_probability
    probabilities = (of_either * torch.stack(of_names).mean(0).softmax(0)).tolist()
    (first, its_own), (second, other) = sorted(zip(names, probabilities, strict=True), key=lambda pair: -pair[1])
    return FoundModality(first, its_own, second, other, "network", its_own >= sure)


def _told_unknown(predictor: HermesPredictor, modality: str) -> Iterator[Pass]:
    """A pass for each member of a modality, without its modality; additions were never told so."""
    model = predictor.model
    for name, member in model.members.items():
        if modality in member.modalities and model.hermes_plans.addition_of(name) is None:
            plans = replace(model.hermes_plans.of_members([name], UNKNOWN_MODALITY), modality_classifier=None)
            yield Pass((name,), (), plans, model.image_channels)


def _logits(predictor: HermesPredictor, told: Pass, image: torch.Tensor) -> torch.Tensor:
    """Of each row of the modality pool, the mean over patches of an image (channels, D, H, W) and over the folds."""
    network = predictor.bare_network.to(predictor.device).eval()
    network.set_context(prediction_context(network, told.hermes_plans, told.context).on(predictor.device))
    logits = []
    for weights in predictor.list_of_parameters:
        network.load_state_dict(weights)
        for patch in _patches(image, predictor.configuration_manager.patch_size):
            logits.append(network.modality_logits(patch[None].to(predictor.device))[0].float().cpu())
    return torch.stack(logits).mean(0)


def _patches(image: torch.Tensor, size: list[int]) -> Iterator[torch.Tensor]:
    """At most MOST_PATCHES of an image, evenly over it, without overlap where that is possible."""
    missing = [max(0, wanted - side) for wanted, side in zip(size, image.shape[1:], strict=True)]
    image = functional.pad(image, [part for gap in reversed(missing) for part in (gap // 2, gap - gap // 2)])
    starts = compute_steps_for_sliding_window(tuple(image.shape[1:]), tuple(size), 1.0)
    corners = [(z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]]
    for corner in evenly_chosen(corners, MOST_PATCHES):
        box = [slice(start, start + side) for start, side in zip(corner, size, strict=True)]
        yield image[:, box[0], box[1], box[2]]
