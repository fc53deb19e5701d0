"""Settings of a released network that no tensor tells: assumed, or read from the YAML file of the release."""

import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from hermes_nnunet.core.yaml_files import read_yaml
from hermes_nnunet.errors import HermesError
from hermes_nnunet.networks.contextual import ContextualNetwork
from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import STAGES, HermesResUNet
from hermes_nnunet.networks.preactivation import ACTIVATIONS
from hermes_nnunet.schema import Text, Whole, checked, must_be

ARCHITECTURES = {HermesResUNet: "resunet", HermesMedFormer: "medformer"}
BLOCK_KEY = {HermesResUNet: "block", HermesMedFormer: "conv_block"}
HALVING = [[2, 2, 2]] * STAGES
# Of the configuration's eight stages those with attention: 2, 3, 4 down and 1, 2 up.
ATTENTION_STAGES = slice(1, 6)

_Heads = Annotated[Whole, Field(ge=1)]


class _Config(TypedDict):
    """A configuration of the release, as far as it is read; the other keys are about its training."""

    arch: Text
    base_chan: NotRequired[Whole]
    tn: NotRequired[Whole]
    mn: NotRequired[Whole]
    norm: NotRequired[Text]
    block: NotRequired[Text]
    conv_block: NotRequired[Text]
    act: NotRequired[Text]
    down_scale: NotRequired[Annotated[list[Whole | list[Whole]], must_be("a list of strides")]]
    num_heads: NotRequired[list[_Heads]]
    fusion_heads: NotRequired[_Heads]


def settings_of_config(
    path: str | os.PathLike[str],
    network_class: type[ContextualNetwork],
    arguments: Mapping[str, Any],
    *,
    task_rows: int,
    modality_rows: int,
) -> dict[str, Any]:
    """Arguments of the network that a configuration of the release gives, beside those that the tensors tell.

    Args:
        path: its YAML file, config/universal/hermes_*_3d.yaml.
        arguments: what the tensors tell, which the configuration must agree with.
        task_rows: rows of the task pools.
        modality_rows: rows of the modality pools.

    Raises:
        HermesError: the file cannot be read, is of other weights, or says what this project's networks do not do.
    """
    config = read_yaml(path, "give the YAML file of the release")
    checked(_Config, config, str(path), "give hermes_*_3d.yaml of the release")
    known = {
        "arch": ARCHITECTURES[network_class],
        "base_chan": arguments["base_width"],
        "tn": task_rows,
        "mn": modality_rows,
    }
    for key, value in known.items():
        if config.get(key, value) != value:
            raise HermesError(f"{path}: {key} is {config[key]}, the weights have {value}: give their own configuration")
    for key, value in {"norm": "in", BLOCK_KEY[network_class]: "BasicBlock"}.items():
        if config.get(key, value) != value:
            raise HermesError(f"{path}: {key} is {config[key]}, {network_class.__name__} has '{value}' only")
    strides = [[own] * 3 if isinstance(own, int) else own for own in _list(config, "down_scale", HALVING, STAGES, path)]
    if network_class is HermesResUNet:
        return {} if strides == HALVING else {"strides": strides}
    if strides != HALVING:
        raise HermesError(f"{path}: down_scale is {strides}, HermesMedFormer halves every axis at every stage")
    activation = config.get("act", "relu")
    if activation not in ACTIVATIONS:
        raise HermesError(f"{path}: act is {activation}, HermesMedFormer knows {', '.join(ACTIVATIONS)}")
    widths = arguments["widths"]
    heads = _list(config, "num_heads", None, len(widths), path)
    settings: dict[str, Any] = {} if activation == "relu" else {"activation": activation}
    if heads is not None:
        settings["heads"] = heads[ATTENTION_STAGES]
    if "fusion_heads" in config:
        settings["fusion_heads"] = config["fusion_heads"]
    shared_out = [*zip(widths[ATTENTION_STAGES], settings.get("heads", []), strict=False)]
    shared_out += [(arguments["fusion_width"], settings["fusion_heads"])] if "fusion_heads" in settings else []
    for width, number in shared_out:
        if width % number:
            raise HermesError(f"{path}: {number} attention heads do not share {width} channels evenly")
    return settings


def settings_in_words(network_class: type[ContextualNetwork], arguments: Mapping[str, Any]) -> str:
    """What a network is made with and no tensor tells."""
    if network_class is HermesResUNet:
        strides = arguments.get("strides", HALVING)
        return f"pooling by {', '.join('x'.join(map(str, stride)) for stride in strides)}"
    head_width = arguments["head_width"]
    heads = arguments.get("heads", [max(1, width // head_width) for width in arguments["widths"][ATTENTION_STAGES]])
    fusion_heads = arguments.get("fusion_heads", max(1, arguments["fusion_width"] // head_width))
    return (
        f"activation {arguments.get('activation', 'relu')}, attention heads {', '.join(map(str, heads))} (stages 2, 3, "
        f"4 down and 1, 2 up) and {fusion_heads} (fusion of the codes)"
    )


def _list(config: Mapping[str, Any], key: str, default: Any, length: int, path: str | os.PathLike[str]) -> Any:
    value = config.get(key, default)
    if value is not None and len(value) != length:
        raise HermesError(f"{path}: {key} is {value}: it must be a list of {length}")
    return value
