"""The rules for every tensor, in the three spellings of Kokoro's checkpoints.

Rules are written with the names of the reference's KModel.state_dict(). The release (kokoro-v1_0.pth) has `module.`
after the first part, from DataParallel; the packaged ONNX export has `encoder.` or `decoder.` before it, and the
predictor's frame-wise half without `predictor.`. They also differ in which tensors are weight-normed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...checkpoint import Checkpoint, read_json
from ...errors import FormatError
from ...weights import (
    CHANNELS,
    CONV1D,
    CONV_TRANSPOSE1D,
    CONV_TRANSPOSE1D_DEPTHWISE,
    LSTM_BIAS,
    POINTWISE,
    Layout,
    Pattern,
    Rule,
    WeightMap,
    drop,
    either,
    fold,
    rename,
    weight_norm,
)
from ...weights.original import open_original
from . import voices


def spellings(name: str) -> tuple[str, ...]:
    """Return a KModel name as it is, as the release and as the ONNX export spell it."""
    part, rest = name.split(".", 1)
    side = "decoder" if part == "decoder" else "encoder"
    names = (name, f"{part}.module.{rest}", f"{side}.{name}")
    return (*names, f"{side}.{rest}") if rest.startswith(("F0.", "N.", "shared.")) else names


def in_every_spelling(*rules: Rule) -> tuple[Rule, ...]:
    """Return alternatives for the same weight: each rule in every spelling."""
    return either(
        *(
            replace(rule, sources=tuple(map(Pattern, sources)))
            for rule in rules
            for sources in zip(*(spellings(pattern.text) for pattern in rule.sources), strict=True)
        )
    )


def linear(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of a linear layer: weight and bias."""
    return [in_every_spelling(rename(f"{source}.{name}", f"{target}.{name}")) for name in ("weight", "bias")]


def norm(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of a layer norm whose weights are called gamma and beta."""
    return [
        in_every_spelling(rename(f"{source}.{theirs}", f"{target}.{ours}"))
        for theirs, ours in (("gamma", "weight"), ("beta", "bias"))
    ]


def conv(source: str, target: str, layout: Layout = CONV1D) -> tuple[Rule, ...]:
    """Return the rules of a convolution with weight norm, or with the norm folded, as the ONNX export has it."""
    return in_every_spelling(*weight_norm(source, target, layout))


def adain(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of an AdaIN1d."""
    return [*linear(f"{source}.fc", f"{target}.fc"), *identity(f"{source}.norm")]


def identity(source: str) -> list[tuple[Rule, ...]]:
    """Return the rules that drop the affine of an adaptive norm; older PyTorch could not export a norm without one."""
    why = "the norm's own affine does nothing: scale and shift come from the style"
    scale = drop(f"{source}.weight", why=why, equals=1, optional=True)
    return [in_every_spelling(scale), in_every_spelling(replace(scale, sources=(Pattern(f"{source}.bias"),), equals=0))]


def lstm(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of both directions of a torch.nn.LSTM."""
    rules = []
    for suffix, direction in (("", "forward"), ("_reverse", "backward")):
        ours = f"{target}.{direction}"
        biases = (f"{source}.bias_ih_l0{suffix}", f"{source}.bias_hh_l0{suffix}")
        rules += [
            in_every_spelling(rename(f"{source}.weight_ih_l0{suffix}", f"{ours}.Wx")),
            in_every_spelling(rename(f"{source}.weight_hh_l0{suffix}", f"{ours}.Wh")),
            in_every_spelling(fold(biases, f"{ours}.bias", LSTM_BIAS)),
        ]
    return rules


def style_block(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of an AdainResBlk1d."""
    return [
        *adain(f"{source}.norm1", f"{target}.norm1"),
        *adain(f"{source}.norm2", f"{target}.norm2"),
        conv(f"{source}.conv1", f"{target}.conv1"),
        conv(f"{source}.conv2", f"{target}.conv2"),
    ]


def upsampling(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of an AdainResBlk1d that also changes the width (conv1x1) and the rate (pool)."""
    return [
        conv(f"{source}.conv1x1", f"{target}.shortcut"),
        conv(f"{source}.pool", f"{target}.pool", CONV_TRANSPOSE1D_DEPTHWISE),
    ]


def snake_block(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of an AdaINResBlock1."""
    rules = []
    for i in (1, 2):
        rules += [
            conv(f"{source}.convs{i}.{{}}", f"{target}.convs{i}.{{}}"),
            *adain(f"{source}.adain{i}.{{}}", f"{target}.norms{i}.{{}}"),
            in_every_spelling(rename(f"{source}.alpha{i}.{{}}", f"{target}.alphas{i}.{{}}", CHANNELS)),
        ]
    return rules


def curve(source: str, target: str) -> list[tuple[Rule, ...]]:
    """Return the rules of the predictor's pitch or energy."""
    blocks = (f"predictor.{source}.{{}}", f"predictor.{target}.blocks.{{}}")
    proj = linear(f"predictor.{source}_proj", f"predictor.{target}.proj")
    return [*style_block(*blocks), *upsampling(*blocks), *with_layout(proj, POINTWISE)]


def with_layout(rules: list[tuple[Rule, ...]], layout: Layout) -> list[tuple[Rule, ...]]:
    """Return the same rules for weights of another layout."""
    return [tuple(replace(rule, layouts=(layout,)) for rule in group) for group in rules]


PUBLISHED_CONFIG = Path(__file__).parent / "data" / "config.json"
ALBERT = "bert.encoder.albert_layer_groups.0.albert_layers.0"
UNUSED = {
    "bert.pooler.weight": "the pooled output of ALBERT is not used",
    "bert.pooler.bias": "the pooled output of ALBERT is not used",
    "bert.embeddings.position_ids": "a constant range",
    "text_encoder.cnn.0.0.bias_quantized_reshape_shape": "a constant of the export: a shape",
    "decoder.generator.stft.istft.stft.inverse_basis": "a constant of the export: the inverse Fourier basis",
    "decoder.generator.stft.istft.stft.window_sum": "a constant of the export: the sum of squared windows",
}

WEIGHTS = WeightMap(
    # PL-BERT
    *(
        in_every_spelling(rename(f"bert.embeddings.{name}.weight", f"bert.embeddings.{name}.weight"))
        for name in ("word_embeddings", "position_embeddings", "token_type_embeddings")
    ),
    *linear("bert.embeddings.LayerNorm", "bert.embeddings.norm"),
    *linear("bert.encoder.embedding_hidden_mapping_in", "bert.mapping_in"),
    *linear(f"{ALBERT}.attention.query", "bert.layer.attention.q_proj"),
    *linear(f"{ALBERT}.attention.key", "bert.layer.attention.k_proj"),
    *linear(f"{ALBERT}.attention.value", "bert.layer.attention.v_proj"),
    *linear(f"{ALBERT}.attention.dense", "bert.layer.attention.o_proj"),
    *linear(f"{ALBERT}.attention.LayerNorm", "bert.layer.attention_norm"),
    *linear(f"{ALBERT}.ffn", "bert.layer.up_proj"),
    *linear(f"{ALBERT}.ffn_output", "bert.layer.down_proj"),
    *linear(f"{ALBERT}.full_layer_layer_norm", "bert.layer.norm"),
    *linear("bert_encoder", "bert_encoder"),
    # text encoder
    in_every_spelling(rename("text_encoder.embedding.weight", "text_encoder.embedding.weight")),
    conv("text_encoder.cnn.{}.0", "text_encoder.convs.{}"),
    *norm("text_encoder.cnn.{}.1", "text_encoder.norms.{}"),
    *lstm("text_encoder.lstm", "text_encoder.lstm"),
    # durations, pitch, energy
    *lstm("predictor.text_encoder.lstms.{}", "predictor.text_encoder.layers.{}"),
    *linear("predictor.text_encoder.lstms.{}.fc", "predictor.text_encoder.layers.{}.fc"),
    *identity("predictor.text_encoder.lstms.{}"),
    *lstm("predictor.lstm", "predictor.lstm"),
    *linear("predictor.duration_proj.linear_layer", "predictor.duration_proj"),
    *lstm("predictor.shared", "predictor.shared"),
    *curve("F0", "f0"),
    *curve("N", "n"),
    # decoder
    conv("decoder.F0_conv", "decoder.f0_conv"),
    conv("decoder.N_conv", "decoder.n_conv"),
    conv("decoder.asr_res.0", "decoder.asr_proj", POINTWISE),
    *style_block("decoder.encode", "decoder.encode"),
    conv("decoder.encode.conv1x1", "decoder.encode.shortcut"),
    *style_block("decoder.decode.{}", "decoder.decode.{}"),
    *upsampling("decoder.decode.{}", "decoder.decode.{}"),
    *linear("decoder.generator.m_source.l_linear", "decoder.generator.source.linear"),
    *with_layout(linear("decoder.generator.noise_convs.{}", "decoder.generator.noise_convs.{}"), CONV1D),
    *snake_block("decoder.generator.noise_res.{}", "decoder.generator.noise_blocks.{}"),
    conv("decoder.generator.ups.{}", "decoder.generator.ups.{}", CONV_TRANSPOSE1D),
    *snake_block("decoder.generator.resblocks.{}", "decoder.generator.blocks.{}"),
    conv("decoder.generator.conv_post", "decoder.generator.conv_post"),
    *(in_every_spelling(drop(name, why=why, optional=True)) for name, why in UNUSED.items()),
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open the release's folder or a file of it, with the config.json beside it.

    The ONNX export and kokoro-v1_0.pth exist in one size only and need no config.json.
    Raises: FormatError for another file without a config.json.
    """
    checkpoint = open_original(path, WEIGHTS)
    if checkpoint.config is None:
        is_published = checkpoint.kind == "onnx" or path.name == "kokoro-v1_0.pth"
        if not is_published:
            checkpoint.close()
            raise FormatError("there is no config.json beside it", where=path, fix="put the one of the release there")
        checkpoint.config = read_json(PUBLISHED_CONFIG)
    return checkpoint


def extra_files(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return what a converted folder holds beside the weights: the voices."""
    return voices.extra_files(path if path.is_dir() else path.parent)
