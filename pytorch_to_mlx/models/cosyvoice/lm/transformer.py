"""The language model of version 1: a text encoder, then a decoder with relative positions. Du et al. 2024, "CosyVoice".

Reference: TransformerLM, cosyvoice/llm/llm.py@ace7c47.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import mlx.core as mx
import mlx.nn as nn

from ....errors import FormatError
from ....nn.cache import KVCache
from ....nn.linear import linear
from ....nn.norm import LayerNorm
from ....nn.relative import CausalRelativeAttention
from ....taps import tap
from ..conformer import NORM_EPS, Conformer, ConformerConfig
from ..flow.conditioning import unit_length
from .config import SpeechLMConfig


@dataclass(frozen=True, kw_only=True)
class TransformerLMConfig(SpeechLMConfig):
    """The sizes of the text encoder and of the decoder, and the speech vocabulary.

    The defaults are CosyVoice 1's. num_languages: those that the text tokenizer has a tag for; text_size: width of the
    text embedding.
    """

    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 14
    num_attention_heads: int = 16
    vocab_size: int = 51866
    num_languages: int = 100
    text_size: int = 512
    text_encoder: ConformerConfig = field(default_factory=lambda: ConformerConfig(1024, 16, 4096, 6))
    speaker_dim: int = 192
    speech_token_size: int = 4096

    @classmethod
    def tiny(cls) -> "TransformerLMConfig":
        """Return small sizes for tests."""
        return cls(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=51866,
            text_size=8,
            text_encoder=ConformerConfig(32, 2, 64, 2),
        )


class DecoderLayer(nn.Module):
    """Pre-norm relative attention to the steps so far, and feed-forward."""

    def __init__(self, config: TransformerLMConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.attention_norm = LayerNorm(size, eps=NORM_EPS)
        self.attention = CausalRelativeAttention(size, config.num_attention_heads)
        self.norm = LayerNorm(size, eps=NORM_EPS)
        self.up_proj = nn.Linear(size, config.intermediate_size)
        self.down_proj = nn.Linear(config.intermediate_size, size)

    def __call__(self, x: mx.array, cache: KVCache) -> mx.array:
        """Shapes: x [B, L, M] -> [B, L, M]."""
        x = x + self.attention(self.attention_norm(x), cache)
        return x + linear(self.down_proj, linear(self.up_proj, self.norm(x), slope=0.0))


class TransformerLM(nn.Module):
    """Predict the next speech token after the sequence sos, speaker, text, task, speech.

    The only special speech id, `eos`, ends the speech.
    """

    def __init__(self, config: TransformerLMConfig) -> None:
        super().__init__()
        self._config = config
        size, n_speech = config.hidden_size, config.speech_token_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.text_size)
        self.text_encoder = Conformer(config.text_size, config.text_encoder)
        self.text_proj = nn.Linear(config.text_encoder.hidden_size, size)
        self.speaker_proj = nn.Linear(config.speaker_dim, size)
        self.llm_embedding = nn.Embedding(2, size)
        self.speech_embedding = nn.Embedding(n_speech, size)
        self.embed_proj, self.embed_norm = nn.Linear(size, size), LayerNorm(size)
        self.layers = [DecoderLayer(config) for _ in range(config.num_hidden_layers)]
        self.norm = LayerNorm(size)
        self.llm_decoder = nn.Linear(size, n_speech + 1)

    @property
    def config(self) -> TransformerLMConfig:
        """The sizes that it was built with."""
        return self._config

    @property
    def eos(self) -> int:
        """The id that ends the speech."""
        return self.config.speech_token_size

    @property
    def guarded(self) -> int:
        """The id that the original forbids while speech is shorter than its minimum."""
        return self.eos

    @property
    def special_ids(self) -> range:
        """The ids that are not speech; each ends the speech."""
        return range(self.eos, self.eos + 1)

    def embed_text(self, ids: Sequence[int]) -> mx.array:
        """Return the encoded text, each token seeing those before it. Shapes: L ids -> [1, L, M].

        Raises: FormatError for an id outside the vocabulary.
        """
        if not ids:
            return mx.zeros((1, 0, self.config.hidden_size), self.norm.weight.dtype)
        x = self._embed(self.embed_tokens, ids, self.config.vocab_size, "text")
        return linear(self.text_proj, self.text_encoder(x, chunk=1))

    def embed_speech(self, ids: Sequence[int]) -> mx.array:
        """Shapes: L ids -> [1, L, M]. Raises: FormatError for an id outside the vocabulary."""
        return self._embed(self.speech_embedding, ids, self.config.speech_token_size, "speech")

    def embed_prompt(self, text: Sequence[int], speech: Sequence[int], speaker: mx.array | None = None) -> mx.array:
        """Return the sequence up to where new speech begins. speaker: an embedding, if the model is to hear one.

        Shapes: speaker [1, speaker_dim] -> [1, 2 or 3 + text + speech, M].
        Raises: FormatError for an id outside its vocabulary.
        """
        sos, task = (self.llm_embedding(mx.array([[row]])) for row in (0, 1))
        voice = [] if speaker is None else [linear(self.speaker_proj, unit_length(speaker))[:, None]]
        return mx.concatenate([sos, *voice, self.embed_text(text), task, self.embed_speech(speech)], axis=1)

    def new_cache(self) -> list[KVCache]:
        """Return an empty cache for every layer."""
        return [KVCache() for _ in self.layers]

    def __call__(self, x: mx.array, cache: list[KVCache] | None = None) -> mx.array:
        """Return the hidden states of embeddings that follow those in the cache. Shapes: x [B, L, M] -> [B, L, M]."""
        x = nn.relu(self.embed_norm(linear(self.embed_proj, x))) * math.sqrt(self.config.hidden_size)
        for layer, past in zip(self.layers, cache or self.new_cache(), strict=True):
            x = layer(x, past)
        return tap("lm_hidden", self.norm(x))

    def logits(self, hidden: mx.array) -> mx.array:
        """Score every speech id and `eos`. Shapes: hidden [B, L, M] -> [B, L, V] float32."""
        return tap("lm_logits", linear(self.llm_decoder, hidden).astype(mx.float32))

    def _embed(self, table: nn.Embedding, ids: Sequence[int], n_rows: int, kind: str) -> mx.array:
        # Indexing in MLX does not check its range, and a quantized table has no empty selection.
        outside = [i for i in ids if not 0 <= i < n_rows]
        if outside:
            raise FormatError(f"{kind} token {outside[0]} is outside the model's 0 to {n_rows - 1}")
        if not ids:
            return mx.zeros((1, 0, self.config.hidden_size), self.norm.weight.dtype)
        return table(mx.array(list(ids), dtype=mx.int32)[None])
