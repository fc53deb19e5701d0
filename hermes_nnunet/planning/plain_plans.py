"""The network of plain nnU-Net's plans, for a HermesUNet with the same encoder and decoder."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from hermes_nnunet.core.checkpoints import read_checkpoint
from hermes_nnunet.core.files import read_json
from hermes_nnunet.core.trusted_plans import check_plans
from hermes_nnunet.core.wording import listed
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted

PLANS_LIKE_VARIABLE = "HERMES_PLANS_LIKE"
DEFAULT_CONFIGURATION = "3d_fullres"

# Class -> encoder_type of HermesUNet, and the name of the argument that HermesUNet calls n_blocks_per_stage.
_ENCODERS = {
    "ResidualEncoderUNet": ("residual", "n_blocks_per_stage"),
    "PlainConvUNet": ("plain", "n_conv_per_stage"),
}
_TAKEN = (
    "n_stages",
    "features_per_stage",
    "conv_op",
    "kernel_sizes",
    "strides",
    "n_conv_per_stage_decoder",
    "conv_bias",
    "norm_op",
    "norm_op_kwargs",
    "dropout_op",
    "dropout_op_kwargs",
    "nonlin",
    "nonlin_kwargs",
)
_OF_A_NETWORK_THAT_IS_BUILT = frozenset({"num_classes", "input_channels", "deep_supervision"})
_PER_AXIS = ("kernel_sizes", "strides")


@dataclass(frozen=True)
class PlainUNet:
    """Encoder, decoder and patch of a plain U-Net.

    Collections are not transposed, so all that has an axis each is given in the axes of the image, z y x.

    Attributes:
        source: names the plans in messages.
        arguments: of HermesUNet, as plans write them.
        patch_size: voxels.
        spacing: mm.
        axes: axis of the plain network that sees each axis of the image.
    """

    source: str
    arguments: Mapping[str, Any]
    patch_size: tuple[int, ...]
    spacing: tuple[float, ...]
    axes: tuple[int, ...]

    @classmethod
    def of_plans(cls, plans: Mapping[str, Any], configuration: str, source: str) -> "PlainUNet":
        """The network of a configuration.

        Raises:
            HermesError: it is 2D, not of nnU-Net's two U-Nets, or has layers that HermesUNet has not.
        """
        try:
            manager = PlansManager(dict(plans))
            known = plans["configurations"]
            if configuration not in known:
                raise HermesError(f"{source} has no configuration {configuration}, but {listed(known)}: name another")
            settings = manager.get_configuration(configuration)
            spacing, patch_size = settings.spacing, settings.patch_size
            if len(patch_size) != 3:
                raise HermesError(
                    f"{source}: {configuration} is 2D, and Hermes is 3D: give a model of a 3d configuration"
                )
            name = settings.network_arch_class_name.rpartition(".")[2]
            arguments = settings.network_arch_init_kwargs
            axes = tuple(manager.transpose_backward)
            return cls(
                source,
                _arguments(name, arguments, axes, source),
                tuple(int(patch_size[axis]) for axis in axes),
                tuple(float(spacing[axis]) for axis in axes),
                axes,
            )
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
            raise HermesError(
                f"{source} are no plans of nnU-Net 2 ({error!r}): give the plans.json of a model"
            ) from None


def read_plain_unet(path: str | os.PathLike[str], configuration: str | None = None) -> PlainUNet:
    """The network that plans, a model's folder, or a checkpoint of it describe.

    Args:
        path: of one of them.
        configuration: None takes that of the folder's name, or of the checkpoint; for plans alone 3d_fullres.

    Raises:
        HermesError: there is no such file, or see `PlainUNet.of_plans`.
    """
    path = Path(path)
    if path.suffix == ".pth":
        arguments = read_checkpoint(path).get("init_args")
        if not isinstance(arguments, Mapping) or "plans" not in arguments:
            raise HermesError(f"{path} holds no plans: give the plans.json of its model")
        plans, own = arguments["plans"], arguments.get("configuration")
    else:
        file = path / "plans.json" if path.is_dir() else path
        plans = read_json(file, "give the plans.json of a model of nnU-Net, or the model's folder")
        parts = file.parent.name.split("__")
        own = parts[2] if len(parts) == 3 else None
    if not isinstance(plans, Mapping) or "configurations" not in plans:
        raise HermesError(f"{path} are no plans of nnU-Net 2: give the plans.json of a model")
    check_plans(plans, str(path))
    return PlainUNet.of_plans(plans, configuration or own or DEFAULT_CONFIGURATION, str(path))


def plain_unet_of_environment() -> PlainUNet | None:
    """The network that HERMES_PLANS_LIKE names, or None where it is not set.

    Raises:
        HermesError: see `read_plain_unet`.
    """
    path = os.environ.get(PLANS_LIKE_VARIABLE)
    if not path:
        return None
    try:
        return read_plain_unet(path)
    except HermesError as error:
        raise HermesError(f"{PLANS_LIKE_VARIABLE}: {error}") from None


def _arguments(name: str, given: Mapping[str, Any], axes: Sequence[int], source: str) -> dict[str, Any]:
    if name not in _ENCODERS:
        raise HermesError(
            f"{source}: the network is {quoted(name)}, and HermesUNet can only be like {listed(_ENCODERS)}: give a "
            "model with one of these"
        )
    encoder_type, blocks = _ENCODERS[name]
    known = {*_TAKEN, blocks, *_OF_A_NETWORK_THAT_IS_BUILT}
    others = [key for key, value in given.items() if key not in known and value is not None]
    if others:
        raise HermesError(f"{source}: HermesUNet has no {listed(others)}: give a model that nnU-Net's planners plan")
    if not str(given["norm_op"]).endswith("InstanceNorm3d"):
        raise HermesError(f"{source}: the norm is {quoted(str(given['norm_op']))}, HermesUNet needs InstanceNorm3d")
    taken = {key: given[key] for key in _TAKEN if key in given}
    for key in _PER_AXIS:
        taken[key] = [_turned(of_stage, axes) for of_stage in given[key]]
    return {**taken, "n_blocks_per_stage": given[blocks], "encoder_type": encoder_type}


def _turned(of_stage: int | Sequence[int], axes: Sequence[int]) -> list[int]:
    numbers = [of_stage] * len(axes) if isinstance(of_stage, int) else of_stage
    return [int(numbers[axis]) for axis in axes]
