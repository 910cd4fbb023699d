"""The rules for every tensor, in transformers' spelling and in Marian's own (.npz and .bin).

Marian multiplies x W, so its matrices are (in, out) and its biases (1, n). It counts layers from 1; `open_release`
renames them to count from 0, as transformers does, before the rules see a name.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...checkpoint import Checkpoint, TensorInfo, open_checkpoint
from ...checkpoint.base import Entry
from ...checkpoint.files import SourceFile, quote
from ...checkpoint.marian import is_marian
from ...checkpoint.yaml_safe import parse_yaml
from ...errors import FormatError
from ...nn.positions import sinusoids, vaswani_sinusoids
from ...weights import LINEAR_T, Layout, Rule, WeightMap, drop, either, is_converted, rename, tie
from ...weights.original import open_original
from ...weights.rules import flatten
from .config import Config, of_architecture

# A bias of Marian's, or transformers' final_logits_bias: [1, n] -> [n].
ROW = Layout(
    "ROW",
    2,
    lambda a: a[0],
    lambda a: a[None],
    lambda shape: "" if shape[0] == 1 else "the first axis must be 1",
    passes_bias=False,
)
POSITIONS = ("encoder.embed_positions", "decoder.embed_positions")
SHARED = "model.shared.weight"
OWN = "own_embed_tokens"  # what open_release calls the tables of two vocabularies, which are not one
_LAYER = re.compile(r"^(encoder|decoder)_l(\d{1,4})_")
_EMBEDDINGS = {"encoder_Wemb": f"model.encoder.{OWN}.weight", "decoder_Wemb": f"model.decoder.{OWN}.weight"}


def linear(ours: str, transformers: str, weight: str, bias: str) -> tuple[Rule, ...]:
    """Return the rules of a linear layer; Marian's names differ in weight and bias."""
    rules = (
        either(rename(f"{transformers}.weight", f"{ours}.weight"), rename(weight, f"{ours}.weight", LINEAR_T)),
        either(rename(f"{transformers}.bias", f"{ours}.bias"), rename(bias, f"{ours}.bias", ROW)),
    )
    return flatten(rules)


def norm(ours: str, transformers: str, marian: str) -> tuple[Rule, ...]:
    """Return the rules of a layer norm; Marian calls its weights scale and bias."""
    rules = (
        either(rename(f"{transformers}.weight", f"{ours}.weight"), rename(f"{marian}_scale", f"{ours}.weight", ROW)),
        either(rename(f"{transformers}.bias", f"{ours}.bias"), rename(f"{marian}_bias", f"{ours}.bias", ROW)),
    )
    return flatten(rules)


def attention(ours: str, transformers: str, marian: str) -> tuple[Rule, ...]:
    """Return the rules of the four projections of an attention."""
    names = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    rules = [
        linear(f"{ours}.{name}", f"{transformers}.{name}", f"{marian}_W{letter}", f"{marian}_b{letter}")
        for letter, name in names.items()
    ]
    return flatten(rules)


def feedforward(side: str) -> tuple[Rule, ...]:
    """Return the rules of a feed-forward layer and its norm."""
    ours, theirs, marian = f"{side}.layers.{{}}", f"model.{side}.layers.{{}}", f"{side}.{{}}.ffn"
    rules = (
        linear(f"{ours}.ffn.fc1", f"{theirs}.fc1", f"{marian}_W1", f"{marian}_b1"),
        linear(f"{ours}.ffn.fc2", f"{theirs}.fc2", f"{marian}_W2", f"{marian}_b2"),
        norm(f"{ours}.final_layer_norm", f"{theirs}.final_layer_norm", f"{marian}_ffn_ln"),
    )
    return flatten(rules)


def optional(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the rules of a part that not every decoder has; loading is strict, so none that is missing is missed."""
    return tuple(replace(rule, optional=True) for rule in rules)


ENC, DEC = "encoder.layers.{}", "decoder.layers.{}"
WEIGHTS = WeightMap(
    either(
        rename(SHARED, "shared.weight"),
        rename("Wemb", "shared.weight"),
        rename(f"model.encoder.{OWN}.weight", "source_embedding.weight"),
        rename(f"model.decoder.{OWN}.weight", "target_embedding.weight"),
    ),
    tie("model.encoder.embed_tokens.weight", to=SHARED, optional=True),
    tie("model.decoder.embed_tokens.weight", to=SHARED, optional=True),
    tie("lm_head.weight", to=SHARED, optional=True),
    tie("tied_lm_head.weight", to=f"model.decoder.{OWN}.weight", optional=True),
    rename("own_lm_head.weight", "lm_head.weight", optional=True),
    rename("decoder_ff_logit_out_W", "lm_head.weight", LINEAR_T, optional=True),
    rename("decoder_ff_logit_out_Wt", "lm_head.weight", optional=True),
    either(
        rename("final_logits_bias", "final_logits_bias", ROW),
        rename("decoder_ff_logit_out_b", "final_logits_bias", ROW),
    ),
    rename("model.encoder.embed_positions.weight", POSITIONS[0]),
    rename("model.decoder.embed_positions.weight", POSITIONS[1]),
    attention(f"{ENC}.self_attn", f"model.{ENC}.self_attn", "encoder.{}.self"),
    norm(f"{ENC}.self_attn_layer_norm", f"model.{ENC}.self_attn_layer_norm", "encoder.{}.self_Wo_ln"),
    feedforward("encoder"),
    optional(attention(f"{DEC}.memory.attention", f"model.{DEC}.self_attn", "decoder.{}.self")),
    rename("decoder.{}.rnn_W", f"{DEC}.memory.cell_proj.weight", LINEAR_T, optional=True),
    rename("decoder.{}.rnn_Wf", f"{DEC}.memory.forget_proj.weight", LINEAR_T, optional=True),
    rename("decoder.{}.rnn_bf", f"{DEC}.memory.forget_proj.bias", ROW, optional=True),
    norm(f"{DEC}.memory_layer_norm", f"model.{DEC}.self_attn_layer_norm", "decoder.{}.memory_ln"),
    attention(f"{DEC}.encoder_attn", f"model.{DEC}.encoder_attn", "decoder.{}.context"),
    norm(f"{DEC}.encoder_attn_layer_norm", f"model.{DEC}.encoder_attn_layer_norm", "decoder.{}.context_Wo_ln"),
    feedforward("decoder"),
    drop("training_state.*", why="Marian's counters of its training", optional=True),
    keep_float32=POSITIONS,
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of transformers or of Marian's own, with the sizes as its `config`.

    Of a folder of Marian's own the model is the one .npz, or the one .bin of Marian's format.
    Raises: FormatError for what is not a Marian checkpoint.
    """
    own = _own_model(path)
    checkpoint = open_checkpoint(own) if own else open_original(path, WEIGHTS)
    try:
        if checkpoint.kind == "marian" or "special:model.yml" in checkpoint.entries:
            sizes = _rename_marian(checkpoint)
        else:
            sizes = _rename_transformers(checkpoint)
    except FormatError:
        checkpoint.close()
        raise
    add_positions(checkpoint, sizes)
    return checkpoint


def is_release(path: Path) -> bool:
    """Return whether a folder holds a model of Marian's own: a .bin in its format, or an .npz beside pieces of text."""
    return path.is_dir() and not is_converted(path) and _own_model(path) is not None


def _own_model(path: Path) -> Path | None:
    """Return the model of Marian's own in a folder, or None. Raises: FormatError if there are several."""
    if not path.is_dir() or (path / "config.json").exists():
        return None
    models = sorted(file for file in path.glob("*.npz") if file.is_file())
    models += [file for file in sorted(path.glob("*.bin")) if file.is_file() and _starts_as_marian(file)]
    if len(models) > 1:
        names = [quote(file.name) for file in models]
        raise FormatError(f"{len(models)} models of Marian", where=path, fix="keep one", details=names)
    return models[0] if models else None


def _starts_as_marian(path: Path) -> bool:
    with SourceFile(path) as file:
        return is_marian(file)


def _rename_transformers(checkpoint: Checkpoint) -> Config:
    """Give the tables of two vocabularies names of their own, and say whether the output layer is one of them."""
    sizes = Config.from_dict(checkpoint.config or {})
    names = {}
    if not sizes.share_encoder_decoder_embeddings:
        names = {f"model.{side}.embed_tokens.weight": f"model.{side}.{OWN}.weight" for side in ("encoder", "decoder")}
        names["lm_head.weight"] = "tied_lm_head.weight"
    if not sizes.tie_word_embeddings:
        names["lm_head.weight"] = "own_lm_head.weight"
    if "final_logits_bias" not in checkpoint.entries:
        shape = (1, sizes.target_vocab_size)
        info = TensorInfo.of("final_logits_bias", "float32", shape)
        checkpoint.entries["final_logits_bias"] = Entry(info, lambda: mx.zeros(shape))
    _rename(checkpoint, names)
    return sizes


def _rename_marian(checkpoint: Checkpoint) -> Config:
    """Read Marian's model.yml, and name its tensors as the rules do."""
    model = checkpoint.extra.get("model.yml")
    if entry := checkpoint.entries.pop("special:model.yml", None):
        data = np.array(entry.read()).tobytes()
        model = parse_yaml(data.rstrip(b"\0"), where=checkpoint.source)
    if not isinstance(model, dict):
        raise FormatError("there is no special:model.yml, Marian's description", where=checkpoint.source)
    shapes = {name: info.shape for name, info in checkpoint.infos().items()}
    names = {name: _EMBEDDINGS.get(name, _renumbered(name)) for name in shapes}
    try:
        if "Wemb" in shapes:
            sizes: dict[str, Any] = {"vocab_size": shapes["Wemb"][0]}
            shared = True
        else:
            tables = [shapes[name][0] for name in _EMBEDDINGS]
            sizes, shared = {"vocab_size": tables[0], "decoder_vocab_size": tables[1]}, False
    except (KeyError, IndexError):
        raise FormatError("not a translator: it has no embeddings", where=checkpoint.source) from None
    if "Wpos" in shapes:
        sizes["max_position_embeddings"] = shapes["Wpos"][0]
        names["Wpos"] = "model.encoder.embed_positions.weight"
        position = checkpoint.entries["Wpos"]
        copy = "model.decoder.embed_positions.weight"
        checkpoint.entries[copy] = Entry(replace(position.info, name=copy), position.read)
    config = of_architecture(model, sizes, where=checkpoint.source)
    if config.share_encoder_decoder_embeddings != shared:
        raise FormatError("model.yml and the tensors disagree about the embeddings", where=checkpoint.source)
    _rename(checkpoint, names)
    checkpoint.config = config.to_dict()
    return config


def _renumbered(name: str) -> str:
    """Return Marian's name with layers from 0, and one name for the norm after the decoder's memory of either kind."""
    match = _LAYER.match(name)
    if match is None:
        return name
    layer, part = int(match[2]) - 1, name[match.end() :]
    if match[1] == "decoder":
        part = re.sub(r"^(self_Wo_ln|rnn_ffn_ln)_", "memory_ln_", part)
    return f"{match[1]}.{layer}.{part}"


def _rename(checkpoint: Checkpoint, names: Mapping[str, str]) -> None:
    checkpoint.entries = {
        names.get(name, name): Entry(replace(entry.info, name=names.get(name, name)), entry.read)
        for name, entry in checkpoint.entries.items()
    }


def add_positions(checkpoint: Checkpoint, sizes: Config) -> None:
    """Add the tables of positions that the file leaves out."""
    shape = (sizes.max_position_embeddings, sizes.d_model)
    table = sinusoids if sizes.positions == "marian" else vaswani_sinusoids
    for side in ("encoder", "decoder"):
        name = f"model.{side}.embed_positions.weight"
        if name not in checkpoint.entries:
            checkpoint.entries[name] = Entry(TensorInfo.of(name, "float32", shape), lambda: table(*shape))
