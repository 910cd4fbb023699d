"""Values for fields that a config made without a checkpoint leaves open, or lacks although the model reads them."""

import copy
import re
from typing import Any

from ....codegen.sources.example_inputs import parts
from .fields import matches, set_field
from .rules import HEAD_DIM, LAYERS, VOCABULARY

IMAGE_TOKEN = VOCABULARY - 40
OPEN = (
    ("head_dim .*_head_dim", HEAD_DIM),
    ("num_experts n_routed_experts num_local_experts", 4),
    ("num_experts_per_tok(en)? .*top_?k", 2),
    ("n_group topk_group n_shared_experts", 1),
    (".*kv_heads", 1),
    (".*n_heads", 2),
    (".*_compress_ratio", 2),
    (".*_budget prediction_length context_length sliding_window", 8),
    ("attn_layer_indices", [1]),
    (".*_scale_factors", [1.0]),
    ("(image|video|audio)_token_(id|index)", IMAGE_TOKEN),
    ("vocabulary_map", {"<image>": IMAGE_TOKEN, "IMGIMGAZ": IMAGE_TOKEN + 1}),
)
"""What a config may leave open: words for the field's name (see `matches`), and its value."""
MISSING = (*OPEN, (".*_token_(id|index)", IMAGE_TOKEN + 2), ("num_hidden_layers", LAYERS), (".*dropout.*", 0.0))
"""What a config may lack although the model's code reads it."""


def fill_open_fields(config: Any) -> Any:
    """Return a copy with a value for what the config leaves open."""
    full = copy.deepcopy(config)
    for part in parts(full):
        for name, value in list(vars(part).items()):
            if value in (None, []) and (new := _value(OPEN, name)) is not None:
                set_field(part, name, copy.copy(new))
        layers = vars(part).get("num_hidden_layers")
        if "layer_types" in vars(part) and part.layer_types is None and layers:
            set_field(part, "layer_types", ["full_attention"] * layers)
        if vars(part).get("rope_parameters") == {}:
            kinds = dict.fromkeys(vars(part).get("layer_types") or ())
            rope = {"rope_type": "default", "rope_theta": 1e4}
            set_field(part, "rope_parameters", {kind: dict(rope) for kind in kinds} or rope)
        if "rope_type" in (rope := vars(part).get("rope_parameters") or {}):
            rope.setdefault("mrope_section", [HEAD_DIM // 8, HEAD_DIM // 8, HEAD_DIM // 4])
    return full


def make_layers_equal(config: Any) -> Any:
    """Return a copy in which all layers have the same widths."""
    equal = copy.deepcopy(config)
    for part in parts(equal):
        spec = vars(part).get("_heterogeneity_spec")
        if spec is not None:
            part._heterogeneity_spec = type(spec)({}, set(), set())
    return equal


def add_missing_field(config: Any, error: BaseException) -> bool:
    """Add the field that an AttributeError says a config lacks; return whether it did and a value is known."""
    message = re.match(r"'(\w+)' object has no attribute '(\w+)'", str(error))
    if not message or (value := _value(MISSING, message[2])) is None:
        return False
    owners = [part for part in parts(config) if type(part).__name__ == message[1] and message[2] not in vars(part)]
    for part in owners:
        set_field(part, message[2], value)
    return bool(owners)


def _value(rules: tuple[tuple[str, Any], ...], name: str) -> Any:
    return next((value for words, value in rules if matches(words, name)), None)
