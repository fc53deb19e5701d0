"""nnU-Net's predictor, told which tasks and modality to run with."""

import io
from contextlib import redirect_stdout
from typing import cast

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.trained_for import check_trained_for
from hermes_nnunet.core.trusted_plans import trusting_plans
from hermes_nnunet.errors import HermesError, UsageError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.learning.training.unknown_modality import SHARE_KEY
from hermes_nnunet.networks.build import prediction_context
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.prediction.model_folder import PLANS_FILE, ModelFolder
from hermes_nnunet.prediction.passes import Pass

_PLANS_REMEDY = "bring the plans.json of its training back, or train the fold again"


class HermesPredictor(nnUNetPredictor):
    """Runs one model with one context after another; weights are loaded once.

    Args:
        device: None takes a GPU where there is one.
        half_precision: run the network in half precision, as nnU-Net does, on a GPU.
        tile_step: step of the sliding window as a share of the patch.
        show_tiles: show nnU-Net's progress bar over the tiles of an image.

    Attributes:
        knows_unknown: whether images were told to be of unknown modality in the training of all folds.

    Raises:
        UsageError: the tile step is not a share.
        HermesError: there is no such device, the weights cannot be read, their trainer is not installed, or the
            plans name a class that is not known.
    """

    def __init__(
        self,
        model: ModelFolder,
        device: torch.device | str | None = None,
        *,
        half_precision: bool = True,
        tile_step: float = 0.5,
        show_tiles: bool = False,
    ) -> None:
        device = chosen_device(device)
        if not 0 < tile_step <= 1:
            raise UsageError(f"the tile step is {tile_step}: it is a share of the patch, above 0 and at most 1")
        with redirect_stdout(io.StringIO()):  # it tells those without a GPU about a setting that nobody chose
            super().__init__(tile_step_size=tile_step, device=device, allow_tqdm=show_tiles)
        self.half_precision = half_precision
        self.model = model
        model.check_plans()
        with trusting_plans(model.trust_plans):
            self._load()

    def _load(self) -> None:
        checkpoints = [read_checkpoint(path) for path in self.model.checkpoints]
        for path, checkpoint in zip(self.model.checkpoints, checkpoints, strict=True):
            missing = [key for key in ("network_weights", "trainer_name", "init_args") if key not in checkpoint]
            if missing:
                raise HermesError(f"{path} is no checkpoint of a training (it has no '{missing[0]}')")
            check_trained_for(checkpoint, self.model.plans, path, _PLANS_REMEDY)
        self.knows_unknown = all(checkpoint.get(SHARE_KEY) for checkpoint in checkpoints)
        trainer_name = checkpoints[0]["trainer_name"]
        try:
            trainer = recursive_find_trainer_class_by_name(trainer_name)
        except (RuntimeError, AssertionError, TypeError):  # there is none, or it is no trainer
            raise HermesError(
                f"{self.model.checkpoints[0]} was trained with {quoted(trainer_name)}, which nnU-Net does not find "
                "here: install it, or run 'hermes_nnunet doctor'"
            ) from None
        if not issubclass(trainer, _hermes_trainer()):
            raise HermesError(
                f"{self.model.checkpoints[0]} was trained with {quoted(trainer_name)}, which is no HermesTrainer: "
                "predict with nnUNetv2_predict"
            )
        plans_manager = PlansManager(self.model.plans)
        try:
            configuration = plans_manager.get_configuration(checkpoints[0]["init_args"]["configuration"])
        except (RuntimeError, KeyError, TypeError):
            raise HermesError(
                f"{self.model.checkpoints[0]} is of a configuration that {self.model.path / PLANS_FILE} does not have: "
                "copy the model's folder again"
            ) from None
        dataset_json = self.model.dataset_json
        with redirect_stdout(io.StringIO()):  # a notice of the model's own context, which no pass has
            network = trainer.build_network_architecture(
                plans_manager,
                configuration,
                determine_num_input_channels(plans_manager, configuration, dataset_json),
                plans_manager.get_label_manager(dataset_json).num_segmentation_heads,
                enable_deep_supervision=False,
            )
        parameters = [checkpoint["network_weights"] for checkpoint in checkpoints]
        try:
            network.load_state_dict(parameters[0])
        except RuntimeError:
            raise HermesError(
                f"{self.model.checkpoints[0]} does not fit the network of {self.model.path / 'plans.json'}: copy the "
                "model's folder again"
            ) from None
        axes = checkpoints[0].get("inference_allowed_mirroring_axes")
        self.manual_initialization(network, plans_manager, configuration, parameters, dataset_json, trainer_name, axes)

    @property
    def bare_network(self) -> ContextualNetwork:
        """The network without the wrapper of torch.compile."""
        return cast(ContextualNetwork, getattr(self.network, "_orig_mod", self.network))

    def tell(self, chosen: Pass) -> None:
        """Set the context of the following images, and one output channel for each label of the pass."""
        self.plans_manager = PlansManager(chosen.plans(self.model))
        self.dataset_json = chosen.dataset_json(self.model)
        self.label_manager = self.plans_manager.get_label_manager(self.dataset_json)
        network = self.bare_network
        shown = [label.name for label in chosen.labels]
        context = prediction_context(network, chosen.hermes_plans, chosen.context, shown)
        network.set_context(context.on(self.device))

    @torch.inference_mode()
    def _internal_maybe_mirror_and_predict(self, x: torch.Tensor) -> torch.Tensor:
        if self.half_precision or self.device.type != "cuda":
            return super()._internal_maybe_mirror_and_predict(x)
        with torch.autocast("cuda", enabled=False):
            return super()._internal_maybe_mirror_and_predict(x)


def _hermes_trainer() -> type:
    # Not above: trainers import this room.
    from nnunetv2.training.nnUNetTrainer.hermes.hermes_trainer import HermesTrainer

    return HermesTrainer


def chosen_device(name: torch.device | str | None) -> torch.device:
    """A device by its name; None takes a GPU where there is one.

    Raises:
        HermesError: it is not there.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        available.append("mps")
    if name is None:
        return torch.device("cuda" if "cuda" in available else available[-1])
    if str(name) not in available:
        raise HermesError(f"the device {name} is not there: choose one of {', '.join(available)}")
    return torch.device(name)
