"""PL-BERT: an ALBERT over phonemes. Lan et al. 2019, "ALBERT"; Li et al. 2023, "Phoneme-Level BERT"."""

import mlx.core as mx
import mlx.nn as nn

from ...backend import ops
from ...nn.attention import SelfAttention
from ...nn.linear import linear
from ...nn.norm import LayerNorm
from .config import PlBertConfig


class Embeddings(nn.Module):
    """Phoneme + position + type, normalised; all phonemes have type 0."""

    def __init__(self, config: PlBertConfig, n_token: int) -> None:
        super().__init__()
        size = config.embedding_size
        self.word_embeddings = nn.Embedding(n_token, size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, size)
        self.norm = LayerNorm(size, config.layer_norm_eps)

    def __call__(self, ids: mx.array) -> mx.array:
        """Embed phoneme ids. Shapes: ids [B, L] -> [B, L, E]."""
        types = self.token_type_embeddings(mx.zeros_like(ids))
        positions = self.position_embeddings(mx.arange(ids.shape[1]))
        return self.norm(self.word_embeddings(ids) + types + positions)


class Layer(nn.Module):
    """Attention, then feed-forward with the tanh GELU (`gelu_new`): x = norm(x + part(x)) for both."""

    def __init__(self, config: PlBertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config.hidden_size, config.num_attention_heads)
        self.attention_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)

    def __call__(self, x: mx.array) -> mx.array:
        """Apply the layer. Shapes: x [B, L, D] -> [B, L, D]."""
        x = self.attention_norm(self.attention(x) + x)
        return self.norm(linear(self.down_proj, ops.gelu_tanh(linear(self.up_proj, x))) + x)


class PlBert(nn.Module):
    """Embeddings, and one layer applied num_hidden_layers times. Source: CustomAlbert of kokoro 0.9.4."""

    def __init__(self, config: PlBertConfig, n_token: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(config, n_token)
        self.mapping_in = nn.Linear(config.embedding_size, config.hidden_size)
        self.layer = Layer(config)
        self.num_hidden_layers = config.num_hidden_layers

    def __call__(self, ids: mx.array) -> mx.array:
        """Encode phonemes without a mask: every one attends to all. Shapes: ids [B, L] -> [B, L, hidden_size]."""
        x = linear(self.mapping_in, self.embeddings(ids))
        for _ in range(self.num_hidden_layers):
            x = self.layer(x)
        return x
