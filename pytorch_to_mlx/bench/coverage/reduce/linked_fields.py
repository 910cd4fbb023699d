"""Fields that follow from others: lists with an entry for each layer, sums of heads, sizes of feature maps."""

import itertools
import re
from typing import Any

from ....codegen.sources.example_inputs import parts
from .fields import set_field

LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "encoder_layers", "decoder_layers")
TIMM = (
    ("vit|eva|deit|dinov|_pe_", "test_vit"),
    (r"net_?v\d|efficientnet|mnasnet", "test_efficientnet"),
    ("", "test_resnet"),
)
"""timm's own test models, for backbones that are timm models: words in the name of the original, and the model."""
TIMM_FIELDS = ("architecture", "backbone")


def use_smallest_scale(part: Any) -> None:
    """Set factors on widths and depths to one, and replace a timm model by one of timm's own test models."""
    for name in ("width_coefficient", "depth_coefficient"):
        if vars(part).get(name):
            set_field(part, name, 1.0)
    for field in TIMM_FIELDS:
        if isinstance(original := vars(part).get(field), str):
            set_field(part, field, next(model for words, model in TIMM if re.search(words, original)))


def update_linked_fields(part: Any, before: dict[str, int]) -> None:
    """Make a reduced config consistent again. before: its whole numbers before it was reduced."""
    _cut_layer_lists(part, before)
    _sum_head_parts(part, before)
    _keep_attention_ratio(part, before)
    _cut_rotary_sections(part)
    if before.get("codebook_dim") == before.get("hidden_size", 0):  # no projection around the codebook
        set_field(part, "codebook_dim", vars(part)["hidden_size"])
    if before.get("num_key_value_heads") == before.get("num_attention_heads", 0):  # no groups before, none now
        set_field(part, "num_key_value_heads", vars(part)["num_attention_heads"])


def update_image_fields(old: Any, new: Any) -> None:
    """Set the sizes of feature maps, and the widths of a backbone's features, to those of the reduced config."""
    _update_backbone_channels(new)
    for name in [name for name in vars(new) if name.endswith(("feature_sizes", "image_embedding_size"))]:
        set_field(new, name, _scale(vars(old)[name], _grid(new), _grid(old)))


def _cut_layer_lists(part: Any, before: dict[str, int]) -> None:
    """Shorten lists with an entry for each layer: one entry of each kind stays, then a second one of each."""
    for name in LAYER_FIELDS:
        old, new = before.get(name), getattr(part, name, None)
        if old is None or type(new) is not int or new >= old:
            continue
        for field, value in list(vars(part).items()):
            if isinstance(value, list | tuple) and len(value) == old and old > 1:
                kinds = [item if isinstance(item, str) else "" for item in value]
                places = sorted(sorted(range(old), key=lambda i: kinds[:i].count(kinds[i]))[:new])
                set_field(part, field, type(value)(value[i] for i in places))


def _sum_head_parts(part: Any, before: dict[str, int]) -> None:
    """Set the width of a head to the sum of its parts with and without positions, if it was that."""
    names = ("qk_nope_head_dim", "qk_rope_head_dim")
    for whole in ("qk_head_dim", "head_dim"):
        if all(name in before for name in (*names, whole)) and before[whole] == sum(before[name] for name in names):
            set_field(part, whole, sum(vars(part)[name] for name in names))


def _keep_attention_ratio(part: Any, before: dict[str, int]) -> None:
    """Keep the width of attention the multiple of the model's width that it was, and share it among the heads."""
    width, attention_width = before.get("hidden_size"), before.get("attention_hidden_size")
    if width and attention_width and attention_width % width == 0:
        set_field(part, "attention_hidden_size", vars(part)["hidden_size"] * (attention_width // width))
        if heads := vars(part).get("num_attention_heads"):
            set_field(part, "attention_head_dim", part.attention_hidden_size // heads)


def _cut_rotary_sections(part: Any) -> None:
    """Divide half of the rotated part of a head among several axes of positions, in the proportion it had."""
    values = vars(part)
    head_dim, width, heads = (values.get(name) for name in ("head_dim", "hidden_size", "num_attention_heads"))
    if head_dim is None and type(width) is int and type(heads) is int:
        head_dim = width // heads
    for value in list(values.values()):
        sections = value.get("mrope_section") if isinstance(value, dict) else None
        if sections and head_dim:
            share = value.get("partial_rotary_factor") or values.get("partial_rotary_factor") or 1
            half, total = int(head_dim * share) // 2, sum(sections)
            ends = [sum(sections[:i]) * half // total for i in range(len(sections) + 1)]
            value["mrope_section"] = [end - start for start, end in itertools.pairwise(ends)]


def _update_backbone_channels(part: Any) -> None:
    """Set the list that repeats the widths of a timm backbone's features, last first."""
    backbone = vars(part).get("backbone_config")
    name = getattr(backbone, "architecture", None)
    if "backbone_channel_list" not in vars(part) or not isinstance(name, str):
        return
    import timm
    import torch

    with torch.device("meta"):
        features = timm.create_model(name, **(backbone.model_args or {})).feature_info
    set_field(part, "backbone_channel_list", features.channels()[::-1])


def _grid(config: Any) -> int:
    """Return the width in patches, or pixels, of the first image that a config describes; 1 if there is none."""
    for part in parts(config):
        side, patch = (
            (value if isinstance(value, list | tuple) else [value])[0]
            for value in (vars(part).get("image_size"), vars(part).get("patch_size", 1))
        )
        if type(side) is int and type(patch) is int:
            return side // patch
    return 1


def _scale(sizes: Any, new: int, old: int) -> Any:
    """Scale heights and widths of feature maps as images are scaled: by new / old, at least 1."""
    if isinstance(sizes, list | tuple):
        return type(sizes)(_scale(size, new, old) for size in sizes)
    return max(sizes * new // old, 1) if type(sizes) is int else sizes
