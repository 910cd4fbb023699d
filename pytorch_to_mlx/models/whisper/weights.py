"""The rules for every tensor, in the three spellings of Whisper's checkpoints.

OpenAI's .pt (`encoder.blocks.0.attn.query.weight`), Hugging Face's transformers
(`model.encoder.layers.0.self_attn.q_proj.weight`), and CTranslate2's model.bin of faster-whisper
(`encoder.layer_0.self_attention.linear_0.weight`: query, key and value in one). Folders of the MLX community have the
names of this port.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from ...checkpoint import Checkpoint, TensorInfo, read_json
from ...checkpoint.base import Entry
from ...errors import FormatError
from ...nn.positions import sinusoids
from ...weights import CONCAT, CONV1D, Fold, Rule, WeightMap, concat, either, rename, split, tie
from ...weights.original import open_original
from ...weights.rules import flatten
from .alignment import released_heads
from .config import Config

ENCODER_DECODER = ("encoder", "decoder")
POSITIONS = "encoder.positional_embedding"


def keyless(parts: int) -> Fold:
    """Return the fold of a fused projection's bias: the key's share is zero in the file, and the model has none.

    parts: 3 for query, key and value; 2 for key and value. Inverting it raises FormatError for a key with a bias.
    """

    def join(biases: Sequence[mx.array]) -> mx.array:
        zeros = mx.zeros_like(biases[-1])
        return mx.concatenate([*biases[:-1], zeros, biases[-1]])

    def cut(fused: mx.array, _: int) -> list[mx.array]:
        pieces = mx.split(fused, parts)
        if mx.any(pieces[-2] != 0).item():
            raise FormatError("the key has a bias; Whisper's key has none")
        return [*pieces[:-2], pieces[-1]]

    def cut_check(shape: tuple[int, ...], _: int) -> str:
        return "" if shape and shape[0] % parts == 0 else f"its first axis does not divide into {parts} equal parts"

    return Fold(f"keyless{parts}", parts - 1, join, cut, cut_check=cut_check)


def layer(ours: str, openai: str, hugging_face: str, ctranslate2: str) -> tuple[Rule, ...]:
    """Return the rules of a linear layer under its three names."""
    return tuple(
        rule
        for name in ("weight", "bias")
        for rule in either(
            rename(f"{openai}.{name}", f"{ours}.{name}"),
            rename(f"{hugging_face}.{name}", f"{ours}.{name}"),
            rename(f"{ctranslate2}.{name}", f"{ours}.{name}"),
        )
    )


def norm(ours: str, openai: str, hugging_face: str, ctranslate2: str) -> tuple[Rule, ...]:
    """Return the rules of a layer norm; CTranslate2 calls its weights gamma and beta."""
    return tuple(
        rule
        for name, greek in (("weight", "gamma"), ("bias", "beta"))
        for rule in either(
            rename(f"{openai}.{name}", f"{ours}.{name}"),
            rename(f"{hugging_face}.{name}", f"{ours}.{name}"),
            rename(f"{ctranslate2}.{greek}", f"{ours}.{name}"),
        )
    )


def attention(side: str, ours: str, hugging_face: str, ctranslate2: str, *, cross: bool = False) -> tuple[Rule, ...]:
    """Return the rules of the four projections of an attention and of its layer norm."""
    here = f"{side}.blocks.{{}}.{ours}"
    theirs = f"model.{side}.layers.{{}}.{hugging_face}"
    fused = f"{side}.layer_{{}}.{ctranslate2}"
    names = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    weights = [rename(f"{root}.{name}.weight", f"{here}.{ours_name}.weight") for root, pairs in (
        (here, {n: n for n in names}), (theirs, {hf: n for n, hf in names.items()})
    ) for name, ours_name in pairs.items()]  # fmt: skip
    biases = [rename(f"{root}.{name}.bias", f"{here}.{ours_name}.bias") for root, pairs in (
        (here, {"query": "query", "value": "value"}), (theirs, {"q_proj": "query", "v_proj": "value"})
    ) for name, ours_name in pairs.items()]  # fmt: skip
    if cross:
        weights += [
            rename(f"{fused}.linear_0.weight", f"{here}.query.weight"),
            split(f"{fused}.linear_1.weight", (f"{here}.key.weight", f"{here}.value.weight"), combine=CONCAT),
        ]
        biases += [
            rename(f"{fused}.linear_0.bias", f"{here}.query.bias"),
            split(f"{fused}.linear_1.bias", (f"{here}.value.bias",), combine=keyless(2)),
        ]
    else:
        all_three = tuple(f"{here}.{name}.weight" for name in names)
        weights.append(split(f"{fused}.linear_0.weight", all_three, combine=concat(1, 1, 1)))
        both = (f"{here}.query.bias", f"{here}.value.bias")
        biases.append(split(f"{fused}.linear_0.bias", both, combine=keyless(3)))
    last = "linear_2" if cross else "linear_1"
    rules = [
        either(*weights),
        either(*biases),
        layer(f"{here}.out", f"{here}.out", f"{theirs}.out_proj", f"{fused}.{last}"),
        norm(f"{here}_ln", f"{here}_ln", f"{theirs}_layer_norm", f"{fused}.layer_norm"),
    ]
    return flatten(rules)


def feedforward(side: str) -> tuple[Rule, ...]:
    """Return the rules of an MLP and its layer norm."""
    here, theirs, ct2 = f"{side}.blocks.{{}}", f"model.{side}.layers.{{}}", f"{side}.layer_{{}}.ffn"
    rules = [
        layer(f"{here}.mlp1", f"{here}.mlp.0", f"{theirs}.fc1", f"{ct2}.linear_0"),
        layer(f"{here}.mlp2", f"{here}.mlp.2", f"{theirs}.fc2", f"{ct2}.linear_1"),
        norm(f"{here}.mlp_ln", f"{here}.mlp_ln", f"{theirs}.final_layer_norm", f"{ct2}.layer_norm"),
    ]
    return flatten(rules)


def conv(name: str) -> tuple[Rule, ...]:
    """Return the rules of one of the encoder's convolutions."""
    ours, theirs = f"encoder.{name}", f"model.encoder.{name}"
    rules = [
        either(*(rename(f"{root}.{kind}", f"{ours}.{kind}", *layouts) for root in (ours, theirs)))
        for kind, layouts in (("weight", (CONV1D,)), ("bias", ()))
    ]
    return flatten(rules)


WEIGHTS = WeightMap(
    conv("conv1"),
    conv("conv2"),
    either(
        rename(POSITIONS, POSITIONS),
        rename("model.encoder.embed_positions.weight", POSITIONS),
        rename("encoder.position_encodings.encodings", POSITIONS),
    ),
    attention("encoder", "attn", "self_attn", "self_attention"),
    feedforward("encoder"),
    norm("encoder.ln_post", "encoder.ln_post", "model.encoder.layer_norm", "encoder.layer_norm"),
    either(
        rename("decoder.token_embedding.weight", "decoder.token_embedding.weight"),
        rename("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        rename("decoder.embeddings.weight", "decoder.token_embedding.weight"),
    ),
    either(
        rename("decoder.positional_embedding", "decoder.positional_embedding"),
        rename("model.decoder.embed_positions.weight", "decoder.positional_embedding"),
        rename("decoder.position_encodings.encodings", "decoder.positional_embedding"),
    ),
    attention("decoder", "attn", "self_attn", "self_attention"),
    attention("decoder", "cross_attn", "encoder_attn", "attention", cross=True),
    feedforward("decoder"),
    norm("decoder.ln", "decoder.ln", "model.decoder.layer_norm", "decoder.layer_norm"),
    tie("proj_out.weight", to="model.decoder.embed_tokens.weight", optional=True),
    tie("decoder.projection.weight", to="decoder.embeddings.weight", optional=True),
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of any spelling, with the sizes as its `config`, whichever file holds them.

    Raises: FormatError for what is not a Whisper checkpoint.
    """
    checkpoint = open_original(path, WEIGHTS)
    config = dict(checkpoint.config or {})
    if is_openai_file(checkpoint):
        extra = checkpoint.extra.items()
        config = {key.removeprefix("dims."): value for key, value in extra if key.startswith("dims.")}
    elif checkpoint.kind == "ctranslate2":
        config = sizes_of(checkpoint) | {"alignment_heads": config.get("alignment_heads")}
    elif not config:
        config = sizes_of_layout(checkpoint)
    generation = path / "generation_config.json"  # Hugging Face keeps the alignment heads there
    if path.is_dir() and generation.exists():
        config.setdefault("alignment_heads", read_json(generation).get("alignment_heads"))
    sizes = Config.from_dict(config)
    if "decoder.blocks.0.mlp1.weight" in checkpoint.entries:
        checkpoint.kind = "mlx"
    if checkpoint.kind == "mlx" and POSITIONS not in checkpoint.entries:
        # the MLX community's folders lack the sinusoids
        shape = (sizes.n_audio_ctx, sizes.n_audio_state)
        checkpoint.entries[POSITIONS] = Entry(TensorInfo.of(POSITIONS, "float32", shape), lambda: sinusoids(*shape))
    if not sizes.alignment_heads:
        layers, heads = sizes.n_text_layer, sizes.n_text_head
        alignment_heads = released_heads(
            layers, heads, sizes.n_audio_layer, sizes.is_multilingual, sizes.n_mels, path.name
        )
        sizes = replace(sizes, alignment_heads=alignment_heads)
    quantization = {key: value for key, value in config.items() if key.startswith("quantization")}
    checkpoint.config = sizes.to_dict() | quantization
    return checkpoint


def is_openai_file(checkpoint: Checkpoint) -> bool:
    """Whether it is OpenAI's .pt: {"dims": {...}, "model_state_dict": {...}}."""
    return "dims.n_mels" in checkpoint.extra


HEAD_SIZE = 64  # of every released size
# A state dict of OpenAI's or of Hugging Face: prefix of all names, layers, positions of the text, tokens.
LAYOUTS = (
    ("", "blocks.{}.attn.query.weight", "decoder.positional_embedding", "decoder.token_embedding.weight"),
    (
        "model.",
        "layers.{}.self_attn.q_proj.weight",
        "model.decoder.embed_positions.weight",
        "model.decoder.embed_tokens.weight",
    ),
)


def sizes_of_layout(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the sizes of a state dict without a config.json, from its shapes; a head is 64 wide in every release.

    Raises: FormatError where they cannot be told.
    """
    shapes = {name: info.shape for name, info in checkpoint.infos().items()}
    for prefix, layer_name, positions, tokens in LAYOUTS:
        audio_positions = POSITIONS if not prefix else "model.encoder.embed_positions.weight"
        named = [shapes.get(name, ()) for name in (f"{prefix}encoder.conv1.weight", audio_positions, positions, tokens)]
        if [len(shape) for shape in named] != [3, 2, 2, 2] or named[1][1] % HEAD_SIZE:
            continue
        layers = [
            next(n for n in range(len(shapes) + 1) if f"{prefix}{side}.{layer_name.format(n)}" not in shapes)
            for side in ENCODER_DECODER
        ]
        (_, mels, _), (audio_ctx, state), (text_ctx, _), (vocab, _) = named
        return {
            "n_mels": mels,
            "n_audio_ctx": audio_ctx,
            "n_audio_state": state,
            "n_audio_head": state // HEAD_SIZE,
            "n_audio_layer": layers[0],
            "n_vocab": vocab,
            "n_text_ctx": text_ctx,
            "n_text_state": state,
            "n_text_head": state // HEAD_SIZE,
            "n_text_layer": layers[1],
        }
    checkpoint.close()
    raise FormatError(
        "there is no config.json, and its sizes cannot be told from the tensors",
        where=checkpoint.source,
        fix="put the model's config.json beside the weights",
    )


def sizes_of(checkpoint: Checkpoint) -> dict[str, int]:
    """Return the sizes of a CTranslate2 file from its shapes. Raises: FormatError if it is not Whisper."""
    shapes = {name: info.shape for name, info in checkpoint.infos().items()}
    try:
        audio_ctx, state = shapes["encoder.position_encodings.encodings"]
        text_ctx, _ = shapes["decoder.position_encodings.encodings"]
        mels, vocab = shapes["encoder.conv1.weight"][1], shapes["decoder.embeddings.weight"][0]
        heads = [int(checkpoint.extra[f"{side}.num_heads"]) for side in ("encoder", "decoder")]
    except KeyError as error:
        raise FormatError(f"not a Whisper checkpoint: {error} is missing", where=checkpoint.source) from None
    layers = [sum(f"{side}.layer_{n}.ffn.layer_norm.gamma" in shapes for n in range(100)) for side in ENCODER_DECODER]
    return {
        "n_mels": mels,
        "n_audio_ctx": audio_ctx,
        "n_audio_state": state,
        "n_audio_head": heads[0],
        "n_audio_layer": layers[0],
        "n_vocab": vocab,
        "n_text_ctx": text_ctx,
        "n_text_state": state,
        "n_text_head": heads[1],
        "n_text_layer": layers[1],
    }
