"""Tiny models with random weights: what `pytorch-to-mlx convert docs/examples/tiny.py:bert` is given.

A factory returns a module and example inputs, as (module, args) or (module, args, kwargs). Sizes that may vary are at
least 2 and differ from each other, so that torch.export keeps them dynamic.
"""

import torch
from transformers import (
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)


def ids(batch=2, length=9, vocabulary=128):
    return torch.randint(3, vocabulary, (batch, length))


def llama():
    """A decoder with rotary positions, grouped heads and a causal mask."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), (), {"input_ids": ids()}


def bert():
    """An encoder with learnt positions and a padding mask."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64,
    )  # fmt: skip
    tokens = ids()
    return BertModel(config).eval(), (), {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}


def whisper():
    """An encoder of mel frames and a decoder of tokens."""
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=128, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=24,
        max_target_positions=16, num_mel_bins=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None, use_cache=False,
    )  # fmt: skip
    inputs = {"input_features": torch.randn(2, 8, 48), "decoder_input_ids": ids(length=5)}
    return WhisperForConditionalGeneration(config).eval(), (), inputs


def vit():
    """An image encoder of patches."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=32, patch_size=8, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    return ViTModel(config).eval(), (), {"pixel_values": torch.randn(2, 3, 32, 32)}


def convnext():
    """A convolutional image encoder, for images of any size."""
    torch.manual_seed(0)
    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
    return ConvNextModel(config).eval(), (), {"pixel_values": torch.randn(2, 3, 64, 96)}


def t5():
    """An encoder and a decoder with relative positions."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=128, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0,
        use_cache=False,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval(), (), {"input_ids": ids(), "decoder_input_ids": ids(length=5)}
