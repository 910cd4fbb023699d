"""From cosyvoice2.yaml and CosyVoice-BlankEN/config.json to our config: every number named, everything else checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoint import TensorInfo, read_config
from ....checkpoint.files import quote
from ....checkpoint.yaml_safe import Node, read_yaml
from ....errors import FormatError, UnsafeError

YAML, BLANK = "cosyvoice2.yaml", "CosyVoice-BlankEN"

# What the yaml asks to build where: the classes that the port was made for.
CLASSES = {
    "llm": "cosyvoice.llm.llm.Qwen2LM",
    "llm.llm": "cosyvoice.llm.llm.Qwen2Encoder",
    "llm.sampling": "cosyvoice.utils.common.ras_sampling",
    "flow": "cosyvoice.flow.flow.CausalMaskedDiffWithXvec",
    "flow.encoder": "cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder",
    "flow.decoder": "cosyvoice.flow.flow_matching.CausalConditionalCFM",
    "flow.decoder.estimator": "cosyvoice.flow.decoder.CausalConditionalDecoder",
    "hift": "cosyvoice.hifigan.generator.HiFTGenerator",
    "hift.f0_predictor": "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
    "feat_extractor": "matcha.utils.audio.mel_spectrogram",
}
# Our field <- the yaml's.
FIELDS = {
    "sample_rate": "sample_rate",
    "lm.speech_token_size": "llm.speech_token_size",
    "lm.mix_ratio": "llm.mix_ratio",
    "lm.top_p": "llm.sampling.top_p",
    "lm.top_k": "llm.sampling.top_k",
    "lm.win_size": "llm.sampling.win_size",
    "lm.tau_r": "llm.sampling.tau_r",
    "flow.vocab_size": "flow.vocab_size",
    "flow.speaker_dim": "flow.spk_embed_dim",
    "flow.n_mels": "flow.output_size",
    "flow.token_mel_ratio": "flow.token_mel_ratio",
    "flow.chunk_size": "flow.encoder.static_chunk_size",
    "flow.guidance_rate": "flow.decoder.cfm_params.content.inference_cfg_rate",
    "flow.encoder.hidden_size": "flow.encoder.output_size",
    "flow.encoder.num_attention_heads": "flow.encoder.attention_heads",
    "flow.encoder.intermediate_size": "flow.encoder.linear_units",
    "flow.encoder.num_hidden_layers": "flow.encoder.num_blocks",
    "flow.encoder.lookahead": "flow.pre_lookahead_len",
    "flow.estimator.channels": "flow.decoder.estimator.channels.0",
    "flow.estimator.num_attention_heads": "flow.decoder.estimator.num_heads",
    "flow.estimator.head_dim": "flow.decoder.estimator.attention_head_dim",
    "flow.estimator.num_mid_blocks": "flow.decoder.estimator.num_mid_blocks",
    "flow.estimator.num_transformer_layers": "flow.decoder.estimator.n_blocks",
    "hift.sample_rate": "hift.sampling_rate",
    "hift.n_mels": "hift.in_channels",
    "hift.n_fft": "hift.istft_params.n_fft",
    "hift.hop_length": "hift.istft_params.hop_len",
    "hift.f0_channels": "hift.f0_predictor.cond_channels",
    "mel.n_fft": "feat_extractor.n_fft",
    "mel.hop_length": "feat_extractor.hop_size",
    "mel.n_mels": "feat_extractor.num_mels",
    "mel.f_min": "feat_extractor.fmin",
    "mel.f_max": "feat_extractor.fmax",
}
FIELDS |= {f"hift.{name}": f"hift.{name}" for name in (
    "base_channels nb_harmonics nsf_alpha nsf_sigma nsf_voiced_threshold upsample_rates upsample_kernel_sizes "
    "resblock_kernel_sizes resblock_dilation_sizes source_resblock_kernel_sizes source_resblock_dilation_sizes "
    "lrelu_slope audio_limit"
).split()}  # fmt: skip
# What the port relies on. A text is the name of another value that must be equal.
EXPECTED = {
    "token_frame_rate": 25,
    "llm.llm_input_size": "=lm.hidden_size",
    "llm.llm_output_size": "=lm.hidden_size",
    "flow.output_type": "mel",
    "flow.input_size": "=flow.encoder.hidden_size",
    "flow.encoder.input_size": "=flow.encoder.hidden_size",
    "flow.encoder.normalize_before": True,
    "flow.encoder.input_layer": "linear",
    "flow.encoder.pos_enc_layer_type": "rel_pos_espnet",
    "flow.encoder.selfattention_layer_type": "rel_selfattn",
    "flow.encoder.use_cnn_module": False,
    "flow.encoder.macaron_style": False,
    "flow.decoder.cfm_params.content.solver": "euler",
    "flow.decoder.cfm_params.content.t_scheduler": "cosine",
    "flow.decoder.estimator.act_fn": "gelu",
    "flow.decoder.estimator.num_decoding_left_chunks": -1,
    "feat_extractor.win_size": "=mel.n_fft",
    "feat_extractor.center": False,
    "feat_extractor.sampling_rate": "=sample_rate",
    "hift.f0_predictor.num_class": 1,
}
QWEN = (
    "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads vocab_size "
    "rms_norm_eps rope_theta"
).split()
QWEN_EXPECTED = {"model_type": "qwen2", "hidden_act": "silu", "use_sliding_window": False, "rope_scaling": None}


class _Known(frozenset):
    """What a released yaml names, its training part too; nothing of it is ever imported."""

    def __contains__(self, target: object) -> bool:
        return super().__contains__(target) or str(target).startswith(("cosyvoice.", "matcha."))


TARGETS = _Known(
    ("random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all", "omegaconf.DictConfig")
)


def release_config(folder: Path) -> dict[str, Any]:
    """The nested config of the language model, flow, vocoder and mel; the ONNX parts' are in their shapes.

    Raises: UnsafeError if the yaml names anything outside the release; FormatError listing every missing number and
    every value that the port was not made for.
    """
    yaml = _read(folder / YAML)
    blank = read_config(folder / BLANK)
    problems: list[str] = []
    config: dict[str, Any] = {}
    for name in QWEN:
        if name in blank:
            _put(config, f"lm.{name}", blank[name])
        else:
            problems.append(f"{BLANK}/config.json: {name} is missing")
    for key, value in QWEN_EXPECTED.items():
        if blank.get(key, value) != value:
            problems.append(f"{BLANK}/config.json: {key} is {quote(blank[key])}, this port was made for {value!r}")
    for where, target in CLASSES.items():
        found = _at(yaml, where)
        if not isinstance(found, Node) or found.target != target:
            named = found.target if isinstance(found, Node) else "missing"
            problems.append(f"{where} is {quote(named)}, this port was made for {target}")
    for ours, theirs in FIELDS.items():
        value = _at(yaml, theirs)
        if value is not _ABSENT:
            _put(config, ours, value)
        elif not any(line.startswith(f"{part} is ") for line in problems for part in CLASSES):
            problems.append(f"{theirs} is missing")
    for theirs, wanted in EXPECTED.items():
        if isinstance(wanted, str) and wanted.startswith("="):
            wanted = _at(config, wanted[1:])
        found = _at(yaml, theirs)
        if found is not _ABSENT and (type(found), found) != (type(wanted), wanted):
            problems.append(f"{theirs} is {quote(found)}, this port was made for {wanted!r}")
    _check_widths(yaml, config, problems)
    if problems:
        raise FormatError(
            f"{len(problems)} {'value is' if len(problems) == 1 else 'values are'} not those of CosyVoice 2",
            where=folder / YAML,
            fix="use the yaml of the release that the weights belong to",
            details=problems,
        )
    return config


_ABSENT = object()


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path, allowed=TARGETS)
    except UnsafeError as error:
        fix = "take the yaml of the original release, or remove that line"
        raise UnsafeError(error.what, where=error.where, fix=fix) from None


def _at(value: Any, path: str) -> Any:
    """The value at a dotted path, through tags; _ABSENT if there is none."""
    for key in path.split("."):
        value = value.args if isinstance(value, Node) else value
        if isinstance(value, Mapping):
            value = value.get(key, _ABSENT)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def _put(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[name] = value


def _check_widths(yaml: dict[str, Any], config: dict[str, Any], problems: list[str]) -> None:
    """What the yaml says in products and lists."""
    n_mels, chunk = _at(config, "flow.n_mels"), _at(config, "flow.chunk_size")
    ratio = _at(config, "flow.token_mel_ratio")
    products = {"in_channels": ("4 * output_size", 4, n_mels), "out_channels": ("output_size", 1, n_mels)}
    for name, (meaning, factor, number) in products.items():
        found = _at(yaml, f"flow.decoder.estimator.{name}")
        if isinstance(number, int) and found != factor * number:
            problems.append(f"flow.decoder.estimator.{name} is {quote(found)}, this port was made for {meaning}")
    channels = _at(yaml, "flow.decoder.estimator.channels")
    if isinstance(channels, list) and len(channels) != 1:
        problems.append(f"flow.decoder.estimator.channels is {quote(channels)}, this port was made for one number")
    frames = _at(yaml, "flow.decoder.estimator.static_chunk_size")
    if isinstance(frames, Node):
        said = {"<chunk_size>*<token_mel_ratio>", "<token_mel_ratio>*<chunk_size>"}
        agrees = frames.target.replace(" ", "") in said
        agrees = agrees and _at(yaml, "chunk_size") == chunk and _at(yaml, "token_mel_ratio") == ratio
    else:
        agrees = isinstance(chunk, int) and isinstance(ratio, int) and frames == chunk * ratio
    if not agrees:
        problems.append("flow.decoder.estimator.static_chunk_size is not the encoder's chunk times token_mel_ratio")


def campplus_config(tensors: Mapping[str, TensorInfo]) -> dict[str, Any]:
    """The sizes of CAM++ from the shapes in its file. Raises: KeyError or ValueError if it is another network."""
    shapes = {name: info.shape for name, info in tensors.items()}
    layer = "xvector.block1.tdnnd1"
    head_channels = shapes["head.conv1.weight"][0]
    embedding_size, _, _ = shapes["xvector.dense.linear.weight"]
    init_channels, head_width, _ = shapes["xvector.tdnn.linear.weight"]
    growth_rate, bn_channels, _ = shapes[f"{layer}.cam_layer.linear_local.weight"]
    return {
        "n_mels": head_width // head_channels * 8,
        "embedding_size": embedding_size,
        "head_channels": head_channels,
        "init_channels": init_channels,
        "growth_rate": growth_rate,
        "bn_channels": bn_channels,
        "block_layers": [_count(shapes, f"xvector.block{n}.tdnnd{{}}.linear1.weight", 1) for n in (1, 2, 3)],
    }


def speech_tokenizer_config(tensors: Mapping[str, TensorInfo], epsilons: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of the speech tokenizer from its shapes. Raises: KeyError or ValueError if it is another network."""
    shapes = {name: info.shape for name, info in tensors.items()}
    state, n_mels, _ = shapes["conv1.weight"]
    layers = _count(shapes, "blocks.{}.attn.query.weight", 0)
    sizes: dict[str, Any] = {
        "n_mels": n_mels,
        "n_audio_state": state,
        "n_audio_head": state // 64,  # each head has 64 numbers in every release
        "n_audio_layer": layers,
        "fsmn_kernel": shapes["blocks.0.attn.fsmn_block.weight"][2],
        "code_size": shapes["quantizer.project_in.weight"][0],
    }
    for name in ("attn", "mlp"):
        (epsilon,) = {float(f"{epsilons[f'blocks.{i}.{name}_ln.epsilon']:.6g}") for i in range(layers)}
        sizes[f"{name}_norm_eps"] = epsilon
    return sizes


def _count(shapes: Mapping[str, tuple[int, ...]], name: str, first: int) -> int:
    number = first
    while name.format(number) in shapes:
        number += 1
    return number - first
