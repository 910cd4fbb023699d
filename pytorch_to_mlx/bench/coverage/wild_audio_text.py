"""Public repositories of speech, sound and text."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import json
from pathlib import Path
from typing import Any

import torch

from .packages import noise, tokens
from .wild import repository


@repository("jik876/hifi-gan", commit="4769534d45265d52a904b850da5f622601885777", kind="neural vocoder")
def hifigan(folder: Path) -> Any:
    """Turn mel spectrograms into waveforms: its V1 at an eighth of the channels."""
    from env import AttrDict
    from models import Generator

    config = json.loads((folder / "config_v1.json").read_text()) | {"upsample_initial_channel": 64}
    return Generator(AttrDict(config)), noise((2, 80, 12), (1, 80, 31), (3, 80, 5))


@repository("karpathy/nanoGPT", commit="3adf61e154c3fe3fca428ad6bc3818b27a3b8291", kind="language model")
def nanogpt(folder: Path) -> Any:
    """Predict the next token of texts."""
    from model import GPT, GPTConfig

    return GPT(GPTConfig(block_size=64, vocab_size=96, n_layer=3, n_head=4, n_embd=64)), tokens((2, 9), (1, 64), (3, 2))


@repository(
    "NVIDIA/BigVGAN",
    commit="7d2b454564a6c7d014227f635b7423881f14bdac",
    kind="alias-free neural vocoder",
    needs=("librosa", "huggingface_hub", "matplotlib", "scipy"),
)
def bigvgan(folder: Path) -> Any:
    """Turn mel spectrograms into waveforms: its v2 for 22 kHz with one of three blocks after each upsampling."""
    from bigvgan import AttrDict, BigVGAN

    config = json.loads((folder / "configs" / "bigvgan_v2_22khz_80band_256x.json").read_text())
    config |= {"upsample_initial_channel": 64, "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]]}
    return BigVGAN(AttrDict(config)), noise((2, 80, 6), (1, 80, 17), (3, 80, 4))


@repository("facebookresearch/denoiser", commit="8afd7c166699bb3c8b2d95b6dd706f71e1075df0", kind="speech enhancer")
def denoiser(folder: Path) -> Any:
    """Remove noise from recordings of any length: its causal network at a sixth of the channels."""
    from denoiser.demucs import Demucs

    return Demucs(hidden=8), noise((2, 1, 1500), (1, 1, 4001), (3, 1, 800))


@repository(
    "johnma2006/mamba-minimal",
    commit="03de542a36d873f6e6c4057ad687278cc6ae944d",
    kind="state-space language model, its scan a loop",
    needs=("einops",),
)
def mamba(folder: Path) -> Any:
    """Predict the next token of texts."""
    from model import Mamba, ModelArgs

    return Mamba(ModelArgs(d_model=32, n_layer=2, vocab_size=96)), tokens((2, 9), (1, 50), (3, 3))


@repository(
    "jaywalnut310/vits",
    commit="2e561ba58618d021b5b8323d3765880f7e0ecfdb",
    kind="speech synthesizer with noise inside",
    needs=("librosa", "scipy"),
    method="infer",
    noise="input",
)
def vits(folder: Path) -> Any:
    """Speak phonemes, with the noise as an input."""
    import sys

    sys.modules["monotonic_align"] = sys  # its compiled extension is for training alone
    from models import SynthesizerTrn

    config = json.loads((folder / "configs" / "ljs_base.json").read_text())["model"]
    config |= {"upsample_initial_channel": 32, "hidden_channels": 32, "inter_channels": 32, "filter_channels": 64}
    model = SynthesizerTrn(60, 513, 32, **config)
    cases = [((torch.randint(0, 60, (b, t)), torch.tensor([t] * b)), {}) for b, t in ((2, 9), (1, 21), (3, 3))]
    return model, cases


@repository(
    "kaituoxu/Conv-TasNet",
    commit="0d9d9dcd8037b396fd029000af58cda6b7663b11",
    kind="speech separator in the time domain",
    path=("src",),
)
def conv_tasnet(folder: Path) -> Any:
    """Separate two speakers in recordings of any length."""
    from conv_tasnet import ConvTasNet

    return ConvTasNet(N=32, L=20, B=16, H=32, P=3, X=4, R=2, C=2), noise((2, 400), (1, 1237), (3, 205))


@repository("karpathy/llama2.c", commit="350e04fe35433e6d2941dce5a1f53308f87058eb", kind="Llama language model")
def llama2c(folder: Path) -> Any:
    """Predict the next token of texts, with two heads of the queries for one of the keys."""
    from model import ModelArgs, Transformer

    model = Transformer(ModelArgs(dim=64, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=96, max_seq_len=64))
    return model, tokens((2, 9), (1, 64), (3, 2))


@repository(
    "jadore801120/attention-is-all-you-need-pytorch",
    commit="132907dd272e2cc92e3c10e6c4e783a87ff8893d",
    kind="transformer for translation",
)
def translation(folder: Path) -> Any:
    """Score translations of texts, some of them padded."""
    from transformer.Models import Transformer

    model = Transformer(90, 80, 1, 1, d_word_vec=32, d_model=32, d_inner=64, n_layers=2, n_head=4, d_k=8, d_v=8)
    cases = [
        (torch.randint(1, 80, (b, n)), torch.randint(1, 80, (b, m))) for b, n, m in ((2, 9, 7), (1, 30, 41), (3, 4, 2))
    ]
    for source, _ in cases:
        source[0, -2:] = 1  # the index of padding
    return model, [(case, {}) for case in cases]


@repository(
    "BlinkDL/RWKV-LM",
    commit="524481d5099b38d9bc8ef1e89209161b86c8011b",
    kind="RWKV language model",
    path=("RWKV-v1/src",),
)
def rwkv(folder: Path) -> Any:
    """Predict the next token of texts."""
    from model import GPT, GPTConfig

    config = GPTConfig(
        96, 32, model_type="RWKV", n_layer=2, n_embd=32, n_head=4, n_attn=32, n_ffn=32, rwkv_emb_scale=0.4
    )
    return GPT(config), tokens((2, 9), (1, 32), (3, 2))


@repository("fatchord/WaveRNN", commit="83c08fdcd625be56244f4145f41500468974b144", kind="Tacotron, its decoder a loop")
def tacotron(folder: Path) -> Any:
    """Align texts with mel spectrograms of any length, frame by frame."""
    from models.tacotron import Tacotron

    model = Tacotron(32, 40, 128, 256, 80, 33, 32, encoder_K=3, lstm_dims=32, postnet_K=2, num_highways=2, dropout=0.5,
                     stop_threshold=-3.4)  # fmt: skip
    sizes = ((2, 9, 12), (1, 20, 31), (3, 5, 4))
    cases = [((torch.randint(0, 40, (b, n)), torch.randn(b, 80, t)), {"generate_gta": True}) for b, n, t in sizes]
    return model, cases
