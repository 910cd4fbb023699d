"""The rules for every tensor, in transformers' spelling."""

from pathlib import Path

from ...checkpoint import Checkpoint
from ...errors import FormatError
from ...weights import Rule, WeightMap, drop, rename, tie
from ...weights.original import open_original
from ...weights.rules import flatten
from .config import Config

SHARED = "model.shared.weight"
_WHY = "positions are computed"


def layer(side: str, *attentions: str) -> tuple[Rule, ...]:
    """Return the rules of the layers of one side."""
    ours, theirs = f"{side}.layers.{{}}", f"model.{side}.layers.{{}}"
    rules: list[Rule] = []
    for name in attentions:
        rules += [rename(f"{theirs}.{name}.{part}.*", f"{ours}.{name}.{part}.*") for part in (
            "q_proj", "k_proj", "v_proj", "out_proj"
        )]  # fmt: skip
        rules.append(rename(f"{theirs}.{name}_layer_norm.*", f"{ours}.{name}_layer_norm.*"))
    rules += [rename(f"{theirs}.{name}.*", f"{ours}.ffn.{name}.*") for name in ("fc1", "fc2")]
    rules.append(rename(f"{theirs}.final_layer_norm.*", f"{ours}.final_layer_norm.*"))
    rules.append(rename(f"model.{side}.layer_norm.*", f"{side}.layer_norm.*"))
    return flatten(rules)


WEIGHTS = WeightMap(
    rename(SHARED, "shared.weight"),
    tie("model.encoder.embed_tokens.weight", to=SHARED, optional=True),
    tie("model.decoder.embed_tokens.weight", to=SHARED, optional=True),
    tie("lm_head.weight", to=SHARED, optional=True),
    drop("model.encoder.embed_positions.**", why=_WHY, optional=True),
    drop("model.decoder.embed_positions.**", why=_WHY, optional=True),
    layer("encoder", "self_attn"),
    layer("decoder", "self_attn", "encoder_attn"),
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of transformers. Raises: FormatError for what is not M2M100 or NLLB-200."""
    checkpoint = open_original(path, WEIGHTS)
    try:
        Config.from_dict(checkpoint.config or {})
    except FormatError:
        checkpoint.close()
        raise
    return checkpoint
