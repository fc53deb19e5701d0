"""A plain U-Net's weights as the start of a HermesUNet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.files import check_output_file, written_beside
from hermes_nnunet.core.nnunet_files import read_dataset_json, read_plans
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.build import build_network
from hermes_nnunet.networks.hermes_unet import HermesUNet
from hermes_nnunet.plans import PLANS_REMEDY
from hermes_nnunet.weights.starting.plain_checkpoint import WEIGHTS_KEY, PlainCheckpoint, read_plain_checkpoint

RECORD_KEY = "hermes_start"
FORMAT_VERSION = 1
_SEED = 0
# The layer that sees the image, of the residual and of the plain encoder.
_FIRST = ("encoder.stem.convs.0.", "encoder.stages.0.0.convs.0.")
_BOTH = ("encoder.", "decoder.stages.", "decoder.transpconvs.")
_OF_ROWS = ".seg_layers."


@dataclass(frozen=True)
class Start:
    """Weights to start from, and where each comes from.

    Attributes:
        weights: of the whole network.
        taken: names of those that are the checkpoint's.
        fitted: name -> in words, what was changed so that it fits.
        new: names of those that begin as HermesUNet begins.
        left: names in the checkpoint that no weight of the network takes -> why.
    """

    weights: dict[str, torch.Tensor]
    taken: tuple[str, ...]
    fitted: Mapping[str, str]
    new: tuple[str, ...]
    left: Mapping[str, str]

    @property
    def new_of_the_unet(self) -> tuple[str, ...]:
        """Those of the new that belong to encoder and decoder."""
        return tuple(name for name in self.new if name.startswith(_BOTH) and _OF_ROWS not in name)

    @property
    def begins_as_the_unet(self) -> bool:
        """Whether encoder and decoder are those of the checkpoint."""
        return not self.new_of_the_unet


def write_start(
    checkpoint: Path, preprocessed: Path, plans_name: str, configuration: str, output: Path
) -> tuple[Start, PlainCheckpoint]:
    """Write a file for nnU-Net's -pretrained_weights.

    Args:
        checkpoint: see `read_plain_checkpoint`.
        preprocessed: folder of the collection in nnUNet_preprocessed.
        plans_name: of its plans.
        output: the file.

    Raises:
        HermesError: a file is missing or not what it should be, or the checkpoint has nothing that fits.
    """
    check_output_file(output)
    network = _network(preprocessed, plans_name, configuration)
    plain = read_plain_checkpoint(checkpoint)
    start = start_from(plain, network)
    if not start.taken:
        raise HermesError(
            f"{plain.path} has nothing that fits the network of {plans_name}: plan one like it, with "
            f"HERMES_PLANS_LIKE={plain.path}"
        )
    record = {"format_version": FORMAT_VERSION, "source": str(plain.path), "fitted": dict(start.fitted)}
    with written_beside(output) as temporary:
        torch.save({WEIGHTS_KEY: start.weights, RECORD_KEY: record}, temporary)
    return start, plain


def start_from(plain: PlainCheckpoint, network: HermesUNet) -> Start:
    """Weights for `network`: the checkpoint's where name and shape are the same, else those that it has."""
    own = network.state_dict()
    weights, taken, new, left = dict(own), [], [], {}
    fitted: dict[str, str] = {}
    for name, tensor in own.items():
        found = plain.weights.get(name)
        if found is None:
            new.append(name)
            continue
        found, change = _fitted(found, tensor.shape, plain.axes, is_first=name.startswith(_FIRST))
        if found.shape != tensor.shape:
            new.append(name)
            left[name] = f"{tuple(found.shape)} there, {tuple(tensor.shape)} here"
            continue
        weights[name] = found.to(tensor.dtype)
        taken.append(name)
        if change:
            fitted[name] = change
    left |= {name: "no place here" for name in plain.weights if name not in own}
    return Start(weights, tuple(taken), fitted, tuple(new), left)


def _fitted(
    tensor: torch.Tensor, shape: Sequence[int], axes: Sequence[int], *, is_first: bool
) -> tuple[torch.Tensor, str]:
    """A tensor for a weight of this shape, and in words what was changed; nothing where it fits or cannot fit."""
    changes = []
    if tensor.ndim == 5 and tuple(axes) != (0, 1, 2):
        tensor = tensor.permute(0, 1, *(2 + axis for axis in axes)).contiguous()
        changes.append("axes turned to z y x")
    if is_first and tensor.ndim == 5 and tensor.shape[1] != shape[1]:
        changes.append(f"from {tensor.shape[1]} input channels to {shape[1]}")
        # An image with equal channels gives the same features as before.
        tensor = tensor.sum(dim=1, keepdim=True).repeat(1, shape[1], 1, 1, 1) / shape[1]
    return tensor, ", ".join(changes)


def _network(preprocessed: Path, plans_name: str, configuration: str) -> HermesUNet:
    """The network of a collection's plans, as a training begins."""
    plans = read_plans(preprocessed / f"{plans_name}.json", PLANS_REMEDY)
    dataset_json = read_dataset_json(preprocessed / "dataset.json", PLANS_REMEDY)
    manager = PlansManager(plans)
    try:
        settings = manager.get_configuration(configuration)
    except RuntimeError as error:
        raise HermesError(f"{preprocessed / f'{plans_name}.json'}: {error}") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)  # the same file every time
        network = build_network(
            manager,
            settings,
            determine_num_input_channels(manager, settings, dataset_json),
            manager.get_label_manager(dataset_json).num_segmentation_heads,
            enable_deep_supervision=True,
        )
    if not isinstance(network, HermesUNet):
        raise HermesError(
            f"{plans_name} has a {type(network).__name__}, which is no U-Net of nnU-Net: plan with HermesPlanner"
        )
    return network
