"""The rules for every tensor, in transformers' spelling, and the three ways in which the output layer is stored."""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from ...checkpoint import Checkpoint
from ...checkpoint.base import Entry
from ...errors import FormatError
from ...weights import Rule, WeightMap, drop, either, rename, tie
from ...weights.original import open_original
from ...weights.rules import flatten
from .config import Config

SHARED, HEAD, TIED_HEAD = "shared.weight", "lm_head.weight", "tied_lm_head.weight"
_WHY = "attention to the source knows no positions; T5 1.0 holds a table that nothing reads"
_PARTS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}


class Weights(WeightMap):
    """The map of T5, whose weights stay in float32 where float16 is asked for: its activations overflow there."""

    def dtype_of(self, name: str, dtype: mx.Dtype | None) -> mx.Dtype | None:
        """Return the dtype of one weight when all are converted to `dtype`."""
        return mx.float32 if dtype is not None and dtype == mx.float16 else super().dtype_of(name, dtype)


def block(side: str, *parts: tuple[str, str]) -> tuple[Rule, ...]:
    """Return the rules of the layers of one side. parts: (transformers' name, ours) of its attentions, in order."""
    ours, theirs = f"{side}.layers.{{}}", f"{side}.block.{{}}.layer"
    rules: list[Rule] = []
    for n, (name, own) in enumerate(parts):
        rules += [rename(f"{theirs}.{n}.{name}.{a}.weight", f"{ours}.{own}.{b}.weight") for a, b in _PARTS.items()]
        rules.append(rename(f"{theirs}.{n}.layer_norm.weight", f"{ours}.{own}_norm.weight"))
    feed = f"{theirs}.{len(parts)}.DenseReluDense"
    rules += either(
        rename(f"{feed}.wi_0.weight", f"{ours}.ffn.wi_0.weight"), rename(f"{feed}.wi.weight", f"{ours}.ffn.wi_0.weight")
    )
    rules.append(rename(f"{feed}.wi_1.weight", f"{ours}.ffn.wi_1.weight", optional=True))
    rules.append(rename(f"{feed}.wo.weight", f"{ours}.ffn.wo.weight"))
    rules.append(rename(f"{theirs}.{len(parts)}.layer_norm.weight", f"{ours}.ffn_norm.weight"))
    first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    rules.append(rename(first, f"{side}.relative_bias.weight"))
    rules.append(rename(f"{side}.final_layer_norm.weight", f"{side}.norm.weight"))
    return flatten(rules)


WEIGHTS = Weights(
    rename(SHARED, "shared.weight"),
    tie("encoder.embed_tokens.weight", to=SHARED, optional=True),
    tie("decoder.embed_tokens.weight", to=SHARED, optional=True),
    tie(TIED_HEAD, to=SHARED, optional=True),
    rename(HEAD, "lm_head.weight", optional=True),
    block("encoder", ("SelfAttention", "self_attn")),
    block("decoder", ("SelfAttention", "self_attn"), ("EncDecAttention", "encoder_attn")),
    drop("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", why=_WHY, optional=True),
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of transformers; its config says whether the output layer is a table of its own.

    Raises: FormatError for what is not T5.
    """
    checkpoint = open_original(path, WEIGHTS)
    try:
        sizes = Config.from_dict(checkpoint.config or {})
    except FormatError:
        checkpoint.close()
        raise
    entries, own_head = checkpoint.entries, False
    if HEAD in entries:
        # The loader of transformers takes a head that the file holds, tied or not; only an equal one is the table.
        table = next((entries[name] for name in (SHARED, "decoder.embed_tokens.weight") if name in entries), None)
        own_head = not (sizes.scale_decoder_outputs and table and mx.array_equal(table.read(), entries[HEAD].read()))
        if not own_head:
            head = entries.pop(HEAD)
            entries[TIED_HEAD] = Entry(replace(head.info, name=TIED_HEAD), head.read)
    scales = sizes.scale_decoder_outputs
    checkpoint.config = {**(checkpoint.config or {}), "scale_decoder_outputs": scales, "own_head": own_head}
    return checkpoint
