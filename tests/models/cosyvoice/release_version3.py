"""Write a CosyVoice 3 release folder with seeded random weights, as `release.py` does for version 2.

PYTHONPATH=tests python -m models.cosyvoice.release_version3 FOLDER [--tiny]
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import onnx_files, release
from .release import Shapes, both, normed, random_state

PARTS = ("llm", "llm.rl", "flow", "hift")
EXTRA_TOKENS = 200


@dataclass(frozen=True)
class Sizes(release.Sizes):
    """The numbers of cosyvoice3.yaml; those of version 2's flow are not used."""

    dim: int = 1024
    depth: int = 22
    heads: int = 16
    dim_head: int = 64
    ff_mult: int = 2
    lookahead_channels: int = 1024
    tokenizer_layers: int = 12


FULL = Sizes()
TINY = Sizes(
    **{name: value for name, value in vars(release.TINY).items() if name not in ("tokenizer_layers", "vocab_size")},
    vocab_size=960, dim=64, depth=2, heads=2, lookahead_channels=32, tokenizer_layers=7,
)  # fmt: skip


def llm_shapes(s: Sizes) -> Shapes:
    for name, shape in release.llm_shapes(s):
        if name.startswith(("llm_embedding", "llm_decoder", "speech_embedding")):
            continue
        yield name, shape
    for name in ("llm_decoder", "speech_embedding"):
        yield f"{name}.weight", (s.speech_token_size + EXTRA_TOKENS, s.hidden_size)


def flow_shapes(s: Sizes) -> Shapes:
    root, inner, hidden = "decoder.estimator", s.heads * s.dim_head, s.ff_mult * s.dim
    yield "input_embedding.weight", (s.speech_token_size, 80)
    yield from both("spk_embed_affine_layer", 80, s.spk_embed_dim)
    yield from both("pre_lookahead_layer.conv1", s.lookahead_channels, 80, 4)
    yield from both("pre_lookahead_layer.conv2", 80, s.lookahead_channels, 3)
    yield from both(f"{root}.time_embed.time_mlp.0", s.dim, 256)
    yield from both(f"{root}.time_embed.time_mlp.2", s.dim, s.dim)
    yield from both(f"{root}.input_embed.proj", s.dim, 320)
    for conv in ("conv1", "conv2"):
        yield from both(f"{root}.input_embed.conv_pos_embed.{conv}.0", s.dim, s.dim // 16, 31)
    yield f"{root}.rotary_embed.inv_freq", (s.dim_head // 2,)
    for i in range(s.depth):
        block = f"{root}.transformer_blocks.{i}"
        yield from both(f"{block}.attn_norm.linear", 6 * s.dim, s.dim)
        for projection in "qkv":
            yield from both(f"{block}.attn.to_{projection}", inner, s.dim)
        yield from both(f"{block}.attn.to_out.0", s.dim, inner)
        yield from both(f"{block}.ff.ff.0.0", hidden, s.dim)
        yield from both(f"{block}.ff.ff.2", s.dim, hidden)
    yield from both(f"{root}.norm_out.linear", 2 * s.dim, s.dim)
    yield from both(f"{root}.proj_out", 80, s.dim)


def hift_shapes(s: Sizes) -> Shapes:
    widths = [s.base_channels >> i for i in range(4)]
    for name, shape in release.hift_shapes(s):
        part = name.split(".")[0]
        if part == "ups" or name.startswith(("conv_pre", "f0_predictor.condnet.0.")):
            continue
        yield name, shape
    yield from normed("conv_pre", s.base_channels, 80, 5)
    for i, kernel in enumerate((16, 11, 7)):
        yield from normed(f"ups.{i}", widths[i + 1], widths[i], kernel)
    yield from normed("f0_predictor.condnet.0", s.cond_channels, 80, 4)


def flow_state(s: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    state = random_state(flow_shapes(s), rng)
    powers = np.arange(0, s.dim_head, 2, dtype=np.float32) / np.float32(s.dim_head)
    state["decoder.estimator.rotary_embed.inv_freq"] = (1 / 10000.0**powers).astype(np.float32)
    for name in state:
        if ".norm_out." not in name and (".attn_norm." in name or name.endswith("to_out.0.weight")):
            state[name] *= np.float32(0.5)  # so that 22 layers do not grow beyond measure
    return state


def hift_state(s: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    state = random_state(hift_shapes(s), rng)
    state["f0_predictor.classifier.bias"] += 180.0  # Hz
    state["conv_post.bias"][:9] -= 0.5
    for i, rate in enumerate((8, 5, 3)):  # repeated inputs add up
        state[f"ups.{i}.parametrizations.weight.original0"] *= np.float32(1 / np.sqrt(8 * rate))
    return state


def states(sizes: Sizes) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The state dict of each part, one at a time."""
    for number, part in enumerate(PARTS):
        rng = np.random.default_rng([sizes.seed, number])
        if part == "flow":
            yield part, flow_state(sizes, rng)
        elif part == "hift":
            yield part, hift_state(sizes, rng)
        else:
            yield part, random_state(llm_shapes(sizes), rng)


def write_release(folder: Path, sizes: Sizes = FULL, *, parts: tuple[str, ...] = PARTS) -> Path:
    """Write the whole folder, or some parts of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cosyvoice3.yaml").write_text(yaml_text(sizes), encoding="utf-8")
    release.write_blank(folder / "CosyVoice-BlankEN", sizes)
    for part, state in states(sizes):
        if part in parts:
            release.save(folder / f"{part}.pt", part.split(".")[0], state)
    onnx_files.campplus(
        folder / "campplus.onnx",
        channels=sizes.campplus_channels,
        growth=sizes.campplus_growth,
        layers=sizes.campplus_layers,
    )
    onnx_files.speech_tokenizer(
        folder / "speech_tokenizer_v3.onnx",
        state=sizes.tokenizer_state,
        heads=sizes.tokenizer_heads,
        layers=sizes.tokenizer_layers,
        decomposed=True,
    )
    return folder


def yaml_text(s: Sizes) -> str:
    """Version 2's, with the parts that differ in their place."""
    text = release.yaml_text(s)
    for name, new in (("Qwen2LM", "CosyVoice3LM"), ("CausalMaskedDiffWithXvec", "CausalMaskedDiffWithDiT")):
        text = text.replace(name, new)
    text = text.replace("generator.HiFTGenerator", "generator.CausalHiFTGenerator")
    text = text.replace("f0_predictor.ConvRNN", "f0_predictor.CausalConvRNN")
    text = text.replace(
        f"    input_size: {s.input_size}\n    output_size: 80", "    input_size: 80\n    output_size: 80"
    )
    text = text.replace("    audio_limit: 0.99\n", "    audio_limit: 0.99\n    conv_pre_look_right: 4\n")
    text = text.replace("    fmax: 8000\n", "    fmax: null\n")
    text = text.replace("skip_special_tokens: True\n", "skip_special_tokens: True\n    version: cosyvoice3\n")
    text = _replace_block(text, "    encoder: !new", "    decoder: !new", LOOKAHEAD)
    return _replace_block(text, "        estimator: !new", "hift: !new", ESTIMATOR.format(**vars(s))).replace(
        "channels: LOOKAHEAD", f"channels: {s.lookahead_channels}"
    )


def _replace_block(text: str, first: str, following: str, new: str) -> str:
    start = text.index(first)
    return text[:start] + new + text[text.index(following, start) :]


LOOKAHEAD = """\
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        in_channels: 80
        channels: LOOKAHEAD
        pre_lookahead_len: 3
"""
ESTIMATOR = """\
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: {dim}
            depth: {depth}
            heads: {heads}
            dim_head: {dim_head}
            ff_mult: {ff_mult}
            mel_dim: 80
            mu_dim: 80
            spk_dim: 80
            out_channels: 80
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>

"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    write_release(options.folder, TINY if options.tiny else FULL)
