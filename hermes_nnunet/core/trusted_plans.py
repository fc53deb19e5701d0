"""The classes and functions that plans may name.

nnU-Net imports what plans name and calls it with arguments that stand there as well, so plans are code unless the names
are known.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hermes_nnunet.core.images import READER_WRITER
from hermes_nnunet.core.nnunet_files import Configuration, Plans
from hermes_nnunet.errors import HermesError
from hermes_nnunet.file_names import quoted
from hermes_nnunet.schema import checked

TRUST_VARIABLE = "HERMES_TRUST_PLANS"

_DNA = "dynamic_network_architectures"
_NETWORKS = frozenset(
    {
        "hermes_nnunet.networks.hermes_unet.HermesUNet",
        "hermes_nnunet.networks.hermes_resunet.HermesResUNet",
        "hermes_nnunet.networks.hermes_medformer.HermesMedFormer",
        f"{_DNA}.architectures.unet.PlainConvUNet",
        f"{_DNA}.architectures.unet.ResidualEncoderUNet",
        f"{_DNA}.architectures.unet.ResidualUNet",
    }
)
# By the modules of torch.nn that define them; plans write both torch.nn.ReLU and torch.nn.modules.activation.ReLU.
_LAYERS_OF_TORCH = {
    "conv": ("Conv1d", "Conv2d", "Conv3d"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"),
    "normalization": ("GroupNorm", "LayerNorm"),
    "dropout": ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"),
    "activation": ("ELU", "GELU", "Hardswish", "LeakyReLU", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU"),
}
_LAYERS = frozenset(
    {f"torch.nn.{layer}" for layers in _LAYERS_OF_TORCH.values() for layer in layers}
    | {f"torch.nn.modules.{module}.{layer}" for module, layers in _LAYERS_OF_TORCH.items() for layer in layers}
    | {f"{_DNA}.building_blocks.residual.{block}" for block in ("BasicBlockD", "BottleneckD")}
)
_LAYER_ARGUMENTS = frozenset({"conv_op", "norm_op", "dropout_op", "nonlin"})
_RESAMPLING = frozenset(
    {
        "resample_linear",
        "resample_logits_by_task",
        "resample_data_or_seg_to_shape",
        "resample_torch_fornnunet",
        "resample_torch_simple",
        "no_resampling_hack",
    }
)
_OF_PLANS = {
    "image_reader_writer": frozenset(
        {
            READER_WRITER,
            "NibabelIO",
            "NibabelIOWithReorient",
            "SimpleITKIO",
            "SimpleITKIOWithReorient",
            "NaturalImage2DIO",
            "Tiff3DIO",
        }
    ),
    "label_manager": frozenset({"HermesLabelManager", "LabelManager"}),
}
_OF_CONFIGURATION = {
    "preprocessor_name": frozenset({"HermesPreprocessor", "DefaultPreprocessor"}),
    "resampling_fn_data": _RESAMPLING,
    "resampling_fn_seg": _RESAMPLING,
    "resampling_fn_probabilities": _RESAMPLING,
}
_NORMALIZATION = frozenset(
    {
        "ZScoreNormalization",
        "CTNormalization",
        "NoNormalization",
        "RescaleTo01Normalization",
        "RGBTo01Normalization",
    }
)

_REMEDY = "copy the plans again"

_trusting: ContextVar[bool] = ContextVar("trusting", default=False)


@contextmanager
def trusting_plans(trust: bool) -> Iterator[None]:
    """Within this block plans may name any class, if a person has said so."""
    token = _trusting.set(_trusting.get() or trust)
    try:
        yield
    finally:
        _trusting.reset(token)


def are_trusted() -> bool:
    """Whether a person has said that plans may name any class."""
    return _trusting.get() or os.environ.get(TRUST_VARIABLE) == "1"


def check_plans(plans: Mapping[str, Any], where: str) -> None:
    """See that plans name nothing but what planners of Hermes and nnU-Net write, before anything of it is looked up.

    Args:
        where: names the plans in the message.

    Raises:
        HermesError: they name something else, and nobody trusts them.
    """
    checked(Plans, plans, where, _REMEDY)
    for key, known in _OF_PLANS.items():
        if key in plans:
            _check(plans[key], known, where, key)
    for name, configuration in plans["configurations"].items():
        check_configuration(configuration, f"{where}, {quoted(name)}")


def check_configuration(configuration: Mapping[str, Any], where: str) -> None:
    """`check_plans` for one configuration; with `inherits_from` it need not be complete.

    Raises:
        HermesError: it names something unknown, and nobody trusts it.
    """
    checked(Configuration, configuration, where, _REMEDY)
    for key, known in _OF_CONFIGURATION.items():
        if key in configuration:
            _check(configuration[key], known, where, key)
    for scheme in configuration.get("normalization_schemes", ()):
        _check(scheme, _NORMALIZATION, where, "normalization_schemes")
    if "architecture" not in configuration:
        return
    architecture = configuration["architecture"]
    _check(architecture["network_class_name"], _NETWORKS, where, "network_class_name")
    arguments = architecture["arch_kwargs"]
    # Some trainers of nnU-Net import the usual ones without being told.
    for key in {*architecture["_kw_requires_import"], *_LAYER_ARGUMENTS.intersection(arguments)}:
        if key not in arguments:
            raise HermesError(f"{where}: arch_kwargs has no {quoted(key)}, which is to be imported: {_REMEDY}")
        if arguments[key] is not None:
            _check(arguments[key], _LAYERS, where, key)


def _check(name: Any, known: frozenset[str], where: str, key: str) -> None:
    if isinstance(name, str) and (name in known or are_trusted()):
        return
    raise HermesError(
        f"{where}: {key} is {quoted(name)}, which no planner of Hermes or nnU-Net writes; to load it would run its "
        f"code, so nothing was loaded. If the class is your own, allow it: --trust-plans, in Python trust_plans=True, "
        f"for nnU-Net's commands {TRUST_VARIABLE}=1"
    )
