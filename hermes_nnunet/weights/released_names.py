"""Names of the released checkpoints' tensors, and what they are called here."""

import re
from collections.abc import Callable, Mapping

from hermes_nnunet.networks.hermes_medformer import HermesMedFormer
from hermes_nnunet.networks.hermes_resunet import HermesResUNet
from hermes_nnunet.networks.paper_network import PaperNetwork

Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_FUSION_BLOCK_PARTS = {
    "prior_aggregate_block": "tokens_from_voxels",
    "feat_aggregate_block": "voxels_from_tokens",
    "norm1": "norm_receiver",
    "norm2": "norm_giver",
    "fn.to_q": "to_query",
    "fn.to_kv": "to_key_value",
    "fn.to_out": "to_out",
    "prior_ffn": "token",
    "feat_ffn": "voxel",
}


def _unit(name: str) -> str:
    """Where the released 'conv1', 'conv2' or 'shortcut' of a block is in a ResidualBlock."""
    return "shortcut" if name == "shortcut" else f"units.{int(name[-1]) - 1}"


def _resunet_place(name: str, number: int) -> str:
    return f"fusion.{number}" if name == "prior_init_fuse" else f"decoder.fusion.{number - 5}"


def _fusion_mlp(match: re.Match[str]) -> str:
    """A released pre-norm MLP, whose norm and layers are siblings here."""
    side = _FUSION_BLOCK_PARTS[match["side"]]
    part = f"{side}_norm" if match["part"] == "norm" else f"{side}_mlp.{_mlp(match['part'])}"
    return f"{_resunet_place(match['place'], int(match['number']))}.blocks.{match['block']}.{part}.{match['leaf']}"


def _fusion_attention(match: re.Match[str]) -> str:
    direction, part = _FUSION_BLOCK_PARTS[match["direction"]], _FUSION_BLOCK_PARTS[match["part"]]
    place = _resunet_place(match["place"], int(match["number"]))
    return f"{place}.blocks.{match['block']}.{direction}.{part}.{match['leaf']}"


def _mlp(layer: str) -> str:
    return "expand" if layer.endswith("fc1") else "project"


def _head_rules(released: str, ours: str) -> list[Rule]:
    return [
        (rf"{released}\.norm\.(\w+)", rf"{ours}.norm.\1"),
        (rf"{released}\.classifier_pred\.0\.(fc\d)\.(\w+)", lambda m: f"{ours}.reduce.{_mlp(m[1])}.{m[2]}"),
        (rf"{released}\.classifier_pred\.1\.(fc\d)\.(\w+)", lambda m: f"{ours}.refine.{_mlp(m[1])}.{m[2]}"),
    ]


_MODALITY_HEAD = "decoder.seg_layers.modality_head"
_COMMON_RULES: list[Rule] = [
    (r"inc\.conv1\.weight", "stem.0.weight"),
    (r"inc\.conv2\.(conv\d)\.conv\.weight", lambda m: f"stem.1.{_unit(m[1])}.conv.weight"),
    (r"mod_out\.norm\.(\w+)", rf"{_MODALITY_HEAD}.norm.\1"),
    (r"mod_out\.classifier\.(fc\d)\.(\w+)", lambda m: f"{_MODALITY_HEAD}.classify.{_mlp(m[1])}.{m[2]}"),
]

_PLACE = r"(?P<place>prior_init_fuse|prior_fuse)_(?P<number>\d)"
_RESUNET_RULES: list[Rule] = [
    *_COMMON_RULES,
    *_head_rules("out", "decoder.heads.0"),
    (
        r"down(\d)\.conv\.(\d)\.(conv\d|shortcut)\.conv\.weight",
        lambda m: f"stages.{int(m[1]) - 1}.1.{int(m[2]) - 1}.{_unit(m[3])}.conv.weight",
    ),
    (
        r"up(\d)\.conv\.(\d)\.(conv\d|shortcut)\.conv\.weight",
        lambda m: f"decoder.stages.{int(m[1]) - 1}.{m[2]}.{_unit(m[3])}.conv.weight",
    ),
    (
        _PLACE + r"\.task_prior",
        lambda m: f"{_resunet_place(m['place'], int(m['number']))}.seg_layers.priors.tasks",
    ),
    (
        _PLACE + r"\.modality_prior",
        lambda m: f"{_resunet_place(m['place'], int(m['number']))}.seg_layers.priors.modalities",
    ),
    (
        _PLACE + r"\.attn_layers\.(?P<block>\d)\.(?P<direction>\w+_aggregate_block)"
        r"\.(?P<part>norm\d|fn\.to_\w+)\.(?P<leaf>\w+)",
        _fusion_attention,
    ),
    (
        _PLACE + r"\.attn_layers\.(?P<block>\d)\.(?P<side>\w+_ffn)\.(?P<part>norm|fn\.fc\d)\.(?P<leaf>\w+)",
        _fusion_mlp,
    ),
]

_STAGE = r"(?P<stage>down[234]|up[12])"


def _medformer_stage(match: re.Match[str]) -> str:
    direction, number = re.fullmatch(r"(\D+)(\d)", match["stage"]).groups()  # type: ignore[union-attr]
    return f"stages.{int(number) - 2}" if direction == "down" else f"decoder.attention_stages.{int(number) - 1}"


_STAGE_PARTS = {
    "map_gen.base_proj.weight": "map_generation.to_features.weight",
    "map_gen.semantic_proj.weight": "map_generation.to_scores.weight",
    "prior_selection.task_prior": "seg_layers.priors.tasks",
    "prior_selection.modality_prior": "seg_layers.priors.modalities",
    "patch_merging.reduction.depthwise.weight": "patch_merging.reduce.0.weight",
    "patch_merging.reduction.pointwise.weight": "patch_merging.reduce.1.weight",
    "map_reduction.weight": "reduce_codes.weight",
}
_ATTENTION_PARTS = {
    "norm2.weight": "token_norm.weight",
    "norm2.bias": "token_norm.bias",
    "attn.feat_qv.depthwise.weight": "feature_query_value.0.weight",
    "attn.feat_qv.pointwise.weight": "feature_query_value.1.weight",
    "attn.feat_out.depthwise.weight": "feature_out.0.weight",
    "attn.feat_out.pointwise.weight": "feature_out.1.weight",
    "attn.map_qv.weight": "token_query_value.weight",
    "attn.map_out.weight": "token_out.weight",
    "shortcut.conv.weight": "shortcut.conv.weight",
    "feedforward.expand_proj.conv.weight": "inverted_residual.layers.0.conv.weight",
    "feedforward.depthwise.conv.weight": "inverted_residual.layers.1.conv.weight",
    "feedforward.se.excitation.0.weight": "inverted_residual.layers.2.excite.0.weight",
    "feedforward.se.excitation.0.bias": "inverted_residual.layers.2.excite.0.bias",
    "feedforward.se.excitation.2.weight": "inverted_residual.layers.2.excite.2.weight",
    "feedforward.se.excitation.2.bias": "inverted_residual.layers.2.excite.2.bias",
    "feedforward.pointwise.conv.weight": "inverted_residual.layers.3.conv.weight",
}
_TRANSFORMER_PARTS = {
    "0.norm": "attention.norm",
    "0.fn.to_qkv": "attention.to_query_key_value",
    "0.fn.to_out": "attention.to_out",
    "1.norm": "norm",
    "1.fn.fc1": "mlp.expand",
    "1.fn.fc2": "mlp.project",
}


def _any_of(parts: Mapping[str, str]) -> str:
    return "|".join(re.escape(part) for part in parts)


_MEDFORMER_RULES: list[Rule] = [
    *_COMMON_RULES,
    *_head_rules("out_classifier", "decoder.heads.0"),
    *_head_rules("aux_classifier", "decoder.heads.1"),
    (r"down1\.patch_merging\.reduction\.depthwise\.weight", "first_stage.0.reduce.0.weight"),
    (r"down1\.patch_merging\.reduction\.pointwise\.weight", "first_stage.0.reduce.1.weight"),
    (
        r"down1\.conv_blocks\.(\d)\.(conv\d|shortcut)\.conv\.weight",
        lambda m: f"first_stage.1.{m[1]}.{_unit(m[2])}.conv.weight",
    ),
    (
        r"up([34])\.conv_blocks\.(\d)\.(conv\d|shortcut)\.conv\.weight",
        lambda m: f"decoder.conv_stages.{int(m[1]) - 3}.{m[2]}.{_unit(m[3])}.conv.weight",
    ),
    (
        rf"{_STAGE}\.(?P<part>{_any_of(_STAGE_PARTS)})",
        lambda m: f"{_medformer_stage(m)}.{_STAGE_PARTS[m['part']]}",
    ),
    (
        rf"{_STAGE}\.trans_blocks\.blocks\.(?P<block>\d+)\.(?P<part>{_any_of(_ATTENTION_PARTS)})",
        lambda m: f"{_medformer_stage(m)}.blocks.{m['block']}.{_ATTENTION_PARTS[m['part']]}",
    ),
    (r"map_fusion\.in_proj\.(\d)\.weight", r"map_fusion.widen.\1.weight"),
    (r"map_fusion\.out_proj\.(\d)\.weight", r"map_fusion.narrow.\1.weight"),
    (
        rf"map_fusion\.fusion\.layers\.(?P<layer>\d+)\.(?P<part>{_any_of(_TRANSFORMER_PARTS)})\.(?P<leaf>\w+)",
        lambda m: f"map_fusion.layers.{m['layer']}.{_TRANSFORMER_PARTS[m['part']]}.{m['leaf']}",
    ),
]

RULES: dict[type[PaperNetwork], list[Rule]] = {HermesResUNet: _RESUNET_RULES, HermesMedFormer: _MEDFORMER_RULES}


def our_name(released: str, network_class: type[PaperNetwork]) -> str | None:
    """What a tensor of a released checkpoint is called here; None where the name belongs to another network."""
    for pattern, replacement in RULES[network_class]:
        match = re.fullmatch(pattern, released)
        if match is not None:
            return match.expand(replacement) if isinstance(replacement, str) else replacement(match)
    return None
