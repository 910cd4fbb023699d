"""Write a CosyVoice 2 release folder with seeded random weights, in the layout and with the names of the original.

    PYTHONPATH=tests python -m models.cosyvoice.release FOLDER [--tiny]

No package carries CosyVoice's weights, so this stands for them: at full size every file has the tensors of the
published one (3.1 GB), and the tiny one has the same parts in a few megabytes. The scales are chosen so that nothing
saturates: F0 near 180 Hz, audio inside its limits, logits far enough apart for greedy decoding.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import onnx_files

PARTS = ("llm", "flow", "hift")
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Sizes:
    """The numbers of cosyvoice2.yaml and of CosyVoice-BlankEN/config.json that shapes follow from."""

    vocab_size: int = 151936
    base_vocab: int = 151643  # entries of vocab.json; the special tokens follow
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    speech_token_size: int = 6561
    input_size: int = 512  # of the flow's encoder, which has this width throughout
    attention_heads: int = 8
    linear_units: int = 2048
    num_blocks: int = 6
    spk_embed_dim: int = 192
    channels: int = 256
    n_blocks: int = 4
    num_mid_blocks: int = 12
    num_heads: int = 8
    attention_head_dim: int = 64
    base_channels: int = 512
    cond_channels: int = 512
    tokenizer_state: int = 1280  # of the speech tokenizer
    tokenizer_heads: int = 20
    tokenizer_layers: int = 6
    campplus_channels: int = 32  # of CAM++'s two-dimensional head
    campplus_growth: int = 32
    campplus_layers: tuple[int, int, int] = (12, 24, 16)
    seed: int = 0


FULL = Sizes()
TINY = Sizes(
    vocab_size=640, base_vocab=600, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, input_size=64, attention_heads=2, linear_units=96, num_blocks=2,
    channels=32, n_blocks=1, num_mid_blocks=1, num_heads=2, attention_head_dim=16, base_channels=64, cond_channels=32,
    tokenizer_state=64, tokenizer_heads=1, tokenizer_layers=2, campplus_channels=4, campplus_growth=8,
    campplus_layers=(2, 2, 1),
)  # fmt: skip

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def both(name: str, *shape: int) -> Shapes:
    """A weight and its bias."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def normed(name: str, *shape: int, bias: int | None = None) -> Shapes:
    """A convolution under weight norm; for a transposed one `bias` is its number of outputs."""
    yield f"{name}.bias", (shape[0] if bias is None else bias,)
    yield f"{name}.parametrizations.weight.original0", (shape[0],) + (1,) * (len(shape) - 1)
    yield f"{name}.parametrizations.weight.original1", shape


def llm_shapes(s: Sizes) -> Shapes:
    width, head = s.hidden_size, s.hidden_size // s.num_attention_heads
    yield "llm_embedding.weight", (2, width)
    yield "llm.model.model.embed_tokens.weight", (s.vocab_size, width)
    for i in range(s.num_hidden_layers):
        layer = f"llm.model.model.layers.{i}"
        for name, heads in (("q", s.num_attention_heads), ("k", s.num_key_value_heads), ("v", s.num_key_value_heads)):
            yield from both(f"{layer}.self_attn.{name}_proj", heads * head, width)
        yield f"{layer}.self_attn.o_proj.weight", (width, width)
        yield f"{layer}.mlp.gate_proj.weight", (s.intermediate_size, width)
        yield f"{layer}.mlp.up_proj.weight", (s.intermediate_size, width)
        yield f"{layer}.mlp.down_proj.weight", (width, s.intermediate_size)
        yield f"{layer}.input_layernorm.weight", (width,)
        yield f"{layer}.post_attention_layernorm.weight", (width,)
    yield "llm.model.model.norm.weight", (width,)
    yield from both("llm_decoder", s.speech_token_size + 3, width)
    yield "speech_embedding.weight", (s.speech_token_size + 3, width)


def conformer_shapes(name: str, count: int, width: int, units: int, heads: int) -> Shapes:
    for i in range(count):
        layer = f"{name}.{i}"
        yield f"{layer}.self_attn.pos_bias_u", (heads, width // heads)
        yield f"{layer}.self_attn.pos_bias_v", (heads, width // heads)
        for projection in "qkv":
            yield from both(f"{layer}.self_attn.linear_{projection}", width, width)
        yield from both(f"{layer}.self_attn.linear_out", width, width)
        yield f"{layer}.self_attn.linear_pos.weight", (width, width)
        yield from both(f"{layer}.feed_forward.w_1", units, width)
        yield from both(f"{layer}.feed_forward.w_2", width, units)
        yield from both(f"{layer}.norm_ff", width)
        yield from both(f"{layer}.norm_mha", width)


def flow_shapes(s: Sizes) -> Shapes:
    width = s.input_size
    yield "input_embedding.weight", (s.speech_token_size, width)
    yield from both("spk_embed_affine_layer", 80, s.spk_embed_dim)
    for embed in ("embed", "up_embed"):
        yield from both(f"encoder.{embed}.out.0", width, width)
        yield from both(f"encoder.{embed}.out.1", width)
    yield from both("encoder.after_norm", width)
    yield from both("encoder.pre_lookahead_layer.conv1", width, width, 4)
    yield from both("encoder.pre_lookahead_layer.conv2", width, width, 3)
    yield from conformer_shapes("encoder.encoders", s.num_blocks, width, s.linear_units, s.attention_heads)
    yield from both("encoder.up_layer.conv", width, width, 5)
    yield from conformer_shapes("encoder.up_encoders", 4, width, s.linear_units, s.attention_heads)
    yield from both("encoder_proj", 80, width)
    yield from estimator_shapes(s)


def estimator_shapes(s: Sizes) -> Shapes:
    root, width, time = "decoder.estimator", s.channels, 4 * s.channels
    inner = s.num_heads * s.attention_head_dim

    def block(name: str, inputs: int) -> Shapes:
        yield from both(f"{name}.block.0", width, inputs, 3)
        yield from both(f"{name}.block.2", width)

    def stage(name: str, inputs: int) -> Shapes:
        yield from block(f"{name}.0.block1", inputs)
        yield from block(f"{name}.0.block2", width)
        yield from both(f"{name}.0.mlp.1", width, time)
        yield from both(f"{name}.0.res_conv", width, inputs, 1)
        for i in range(s.n_blocks):
            layer = f"{name}.1.{i}"
            yield from both(f"{layer}.norm1", width)
            for projection in "qkv":
                yield f"{layer}.attn1.to_{projection}.weight", (inner, width)
            yield from both(f"{layer}.attn1.to_out.0", width, inner)
            yield from both(f"{layer}.norm3", width)
            yield from both(f"{layer}.ff.net.0.proj", time, width)
            yield from both(f"{layer}.ff.net.2", width, time)

    yield from both(f"{root}.time_mlp.linear_1", time, 320)
    yield from both(f"{root}.time_mlp.linear_2", time, time)
    yield from stage(f"{root}.down_blocks.0", 320)
    yield from both(f"{root}.down_blocks.0.2", width, width, 3)
    for i in range(s.num_mid_blocks):
        yield from stage(f"{root}.mid_blocks.{i}", width)
    yield from stage(f"{root}.up_blocks.0", 2 * width)
    yield from both(f"{root}.up_blocks.0.2", width, width, 3)
    yield from block(f"{root}.final_block", width)
    yield from both(f"{root}.final_proj", 80, width, 1)


def hift_shapes(s: Sizes) -> Shapes:
    def resblock(name: str, channels: int, kernel: int) -> Shapes:
        for i in range(3):
            for part in ("1", "2"):
                yield from normed(f"{name}.convs{part}.{i}", channels, channels, kernel)
                yield f"{name}.activations{part}.{i}.alpha", (channels,)

    widths = [s.base_channels >> i for i in range(4)]
    yield from both("m_source.l_linear", 1, 9)
    yield from normed("conv_pre", s.base_channels, 80, 7)
    stages = zip((16, 11, 7), (30, 6, 1), (7, 7, 11), strict=True)
    for i, (up, down, source) in enumerate(stages):
        yield from normed(f"ups.{i}", widths[i], widths[i + 1], up, bias=widths[i + 1])
        yield from both(f"source_downs.{i}", widths[i + 1], 18, down)
        yield from resblock(f"source_resblocks.{i}", widths[i + 1], source)
        for j, kernel in enumerate((3, 7, 11)):
            yield from resblock(f"resblocks.{3 * i + j}", widths[i + 1], kernel)
    yield from normed("conv_post", 18, widths[3], 7)
    for i in range(5):
        yield from normed(f"f0_predictor.condnet.{2 * i}", s.cond_channels, 80 if i == 0 else s.cond_channels, 3)
    yield from both("f0_predictor.classifier", 1, s.cond_channels)


# How far a weight is from keeping the variance of what it is given (1).
GAINS = {
    "llm_decoder.weight": 3.0,
    "llm.model.model.embed_tokens.weight": 0.5,
    "conv_post": 0.4,
    "f0_predictor.classifier.weight": 25.0,
    "m_source.l_linear.weight": 3.0,
}


def random_state(shapes: Shapes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A tensor for each name, of a size that suits its place."""
    state: dict[str, np.ndarray] = {}
    for name, shape in shapes:
        x = rng.standard_normal(shape, dtype=np.float32)
        gain = next((g for start, g in GAINS.items() if name.startswith(start)), 1.0)
        if name.endswith("original0"):
            x = 1 + 0.1 * x  # times the norm of its direction, below
        elif name.endswith(("embedding.weight", "embed_tokens.weight")):
            x *= gain
        elif name.endswith("alpha") or (name.endswith("weight") and len(shape) == 1):
            x = np.abs(1 + 0.1 * x)
        elif len(shape) == 1 or "pos_bias" in name:
            x *= 0.1
        else:
            fan_in = shape[0] * shape[2] / 4 if name.startswith("ups.") else np.prod(shape[1:])
            x *= gain * (0.5 if "resblocks" in name else 1.0) / np.sqrt(fan_in)
        state[name] = x.astype(np.float32)
    for name, direction in state.items():
        if name.endswith("original1"):
            norm = np.sqrt(np.square(direction).sum(axis=tuple(range(1, direction.ndim)), keepdims=True))
            state[f"{name[:-1]}0"] *= norm
    return state


def hift_state(sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    state = random_state(hift_shapes(sizes), rng)
    state["f0_predictor.classifier.bias"] += 180.0  # Hz
    state["conv_post.bias"][:9] -= 0.5  # the logarithm of the magnitudes
    return state


def states(sizes: Sizes) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The state dict of each of llm, flow and hift, one at a time."""
    for number, part in enumerate(PARTS):
        rng = np.random.default_rng([sizes.seed, number])
        if part == "hift":
            yield part, hift_state(sizes, rng)
        else:
            yield part, random_state({"llm": llm_shapes, "flow": flow_shapes}[part](sizes), rng)


def write_release(folder: Path, sizes: Sizes = FULL) -> Path:
    """Write the whole folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cosyvoice2.yaml").write_text(yaml_text(sizes), encoding="utf-8")
    write_blank(folder / "CosyVoice-BlankEN", sizes)
    for part, state in states(sizes):
        save(folder / f"{part}.pt", part, state)
    write_onnx(folder, sizes)
    return folder


def write_onnx(folder: Path, s: Sizes) -> None:
    onnx_files.campplus(
        folder / "campplus.onnx", channels=s.campplus_channels, growth=s.campplus_growth, layers=s.campplus_layers
    )
    onnx_files.speech_tokenizer(
        folder / "speech_tokenizer_v2.onnx", state=s.tokenizer_state, heads=s.tokenizer_heads, layers=s.tokenizer_layers
    )


def save(path: Path, part: str, state: dict[str, np.ndarray]) -> None:
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    if part == "llm":  # as in the release, the two share their storage
        tensors["llm.model.lm_head.weight"] = tensors["llm.model.model.embed_tokens.weight"]
    torch.save(tensors, path)


def write_blank(folder: Path, sizes: Sizes) -> None:
    """CosyVoice-BlankEN: Qwen2's configuration and a byte-level tokenizer with the ids of the special tokens."""
    folder.mkdir(exist_ok=True)
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": sizes.base_vocab,
        "eos_token_id": sizes.base_vocab + 2,
        "hidden_act": "silu",
        "hidden_size": sizes.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": sizes.intermediate_size,
        "max_position_embeddings": 32768,
        "max_window_layers": sizes.num_hidden_layers,
        "model_type": "qwen2",
        "num_attention_heads": sizes.num_attention_heads,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_key_value_heads": sizes.num_key_value_heads,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": sizes.vocab_size,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    vocab, merges = byte_level(sizes.base_vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    added = {
        str(sizes.base_vocab + i): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for i, token in enumerate(SPECIALS)
    }
    tokenizer = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(SPECIALS[1:]),
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": SPECIALS[2],
        "errors": "replace",
        "model_max_length": 32768,
        "pad_token": SPECIALS[0],
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2))


def byte_level(size: int) -> tuple[dict[str, int], list[str]]:
    """Bytes as GPT-2 writes them, a merge for each pair inside some common words, and fillers up to `size`."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [b for b in range(256) if b not in visible]
    tokens = [chr(b) for b in visible] + [chr(256 + i) for i in range(len(hidden))]
    merges: list[str] = []
    seen = set(tokens)
    for word in "the and you that was for are with his they have this from one had word but not what all were".split():
        for text in (word, "Ġ" + word):
            left = text[0]
            for char in text[1:]:
                if left + char not in seen:
                    merges.append(f"{left} {char}")
                    seen.add(left + char)
                    tokens.append(left + char)
                left += char
    tokens += [f"filler{i}" for i in range(size - len(tokens))]
    return {token: i for i, token in enumerate(tokens[:size])}, merges


def yaml_text(s: Sizes) -> str:
    return YAML.format(**vars(s), static=s.channels)


YAML = """\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]
__set_seed4: !apply:torch.cuda.manual_seed_all [1986]

sample_rate: 24000
llm_input_size: {hidden_size}
llm_output_size: {hidden_size}
spk_embed_dim: {spk_embed_dim}
qwen_pretrain_path: ''
token_frame_rate: 25
token_mel_ratio: 2

chunk_size: 25 # in tokens
num_decoding_left_chunks: -1

llm: !new:cosyvoice.llm.llm.Qwen2LM
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    speech_token_size: {speech_token_size}
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1

flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: {input_size}
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {speech_token_size}
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: {input_size}
        attention_heads: {attention_heads}
        linear_units: {linear_units}
        num_blocks: {num_blocks}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: {input_size}
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: !ref <chunk_size>
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [{channels}]
            dropout: 0.0
            attention_head_dim: {attention_head_dim}
            n_blocks: {n_blocks}
            num_mid_blocks: {num_mid_blocks}
            num_heads: {num_heads}
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: 80
    base_channels: {base_channels}
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: 80
        cond_channels: {cond_channels}

get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
allowed_special: 'all'
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1920
    num_mels: 80
    sampling_rate: !ref <sample_rate>
    hop_size: 480
    win_size: 1920
    fmin: 0
    fmax: 8000
    center: False
compute_fbank: !name:cosyvoice.dataset.processor.compute_fbank
    feat_extractor: !ref <feat_extractor>
data_pipeline: [
    !ref <compute_fbank>,
]

train_conf:
    optim: adam
    optim_conf:
        lr: 1e-5
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    write_release(options.folder, TINY if options.tiny else FULL)
