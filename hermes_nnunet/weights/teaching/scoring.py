"""The Dice of a taught network on an example that it was not taught with."""

import io
import math
from contextlib import redirect_stdout

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.collection import HERMES_BLOCK
from hermes_nnunet.core.pictures.labels import Label, colour_of
from hermes_nnunet.networks.build import prediction_context
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.prediction.decisions import CaseDecision
from hermes_nnunet.prediction.passes import Pass
from hermes_nnunet.weights.teaching.cases import TaughtCase
from hermes_nnunet.weights.teaching.lesson import Lesson

# Windows overlap by a tenth: half, as in prediction, takes six times as long and changes Dice by a hundredth.
TILE_STEP = 0.9


def dice_of(network: ContextualNetwork, case: TaughtCase, lesson: Lesson, device: torch.device) -> dict[str, float]:
    """Dice of every task, on the voxels of the image; nan where neither mask nor segmentation has it."""
    segmentation = _segmented(network, case, lesson, device)
    dice = {}
    for value, task in enumerate(lesson.hermes_plans.tasks, start=1):
        found, there = segmentation == value, case.reference == value
        both = int(found.sum()) + int(there.sum())
        dice[task] = 2 * int((found & there).sum()) / both if both else math.nan
    return dice


def _segmented(network: ContextualNetwork, case: TaughtCase, lesson: Lesson, device: torch.device) -> np.ndarray:
    """Label map (D, H, W) on the voxels of the image."""
    hermes_plans = lesson.hermes_plans
    plans = PlansManager({**lesson.plans, HERMES_BLOCK: hermes_plans.to_block()})
    configuration = plans.get_configuration(lesson.configuration)
    with redirect_stdout(io.StringIO()):  # of settings that nobody chose
        predictor = nnUNetPredictor(
            tile_step_size=TILE_STEP,
            device=device,
            perform_everything_on_device=device.type == "cuda",
            allow_tqdm=False,
        )
        weights = network.state_dict()
        network.decoder.deep_supervision = False
        network.set_context(prediction_context(network, hermes_plans, hermes_plans.context).on(device))
        predictor.manual_initialization(network, plans, configuration, [weights], lesson.dataset_json, "", None)
        logits = predictor.predict_logits_from_preprocessed_data(case.image)
    labels = tuple(
        Label(task, value, (value,), next(iter(hermes_plans.members)), colour_of(value - 1))
        for value, task in enumerate(hermes_plans.tasks, start=1)
    )
    decision = CaseDecision(plans, configuration)
    one = Pass(tuple(hermes_plans.members), labels, hermes_plans, len(case.image))
    decision.add(one, logits, case.properties)
    return decision.label_map
