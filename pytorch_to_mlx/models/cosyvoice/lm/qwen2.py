"""The language model of versions 2 and 3: Qwen2 from text tokens to speech tokens."""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....errors import FormatError
from ....nn.cache import KVCache
from ....nn.decoder import DecoderLayer, rotary
from ....nn.linear import linear
from ....taps import tap
from .config import LMConfig


class Qwen2LM(nn.Module):
    """Text and speech tokens in, hidden states and logits of the next speech token out.

    The sequence is sos, text, task, speech. Speech ids from `speech_token_size` on are special: `eos` ends the speech,
    `fill` asks for more text.
    """

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self._config = config
        size, speech = config.hidden_size, config.speech_token_size + 3
        self.embed_tokens = nn.Embedding(config.vocab_size, size)
        self.layers = [
            DecoderLayer(
                size,
                config.intermediate_size,
                config.num_attention_heads,
                config.num_key_value_heads,
                size // config.num_attention_heads,
                rms_norm_eps=config.rms_norm_eps,
            )
            for _ in range(config.num_hidden_layers)
        ]
        self.norm = nn.RMSNorm(size, eps=config.rms_norm_eps)
        self.llm_embedding = nn.Embedding(2, size)
        self.speech_embedding = nn.Embedding(speech, size)
        self.llm_decoder = nn.Linear(size, speech)

    @property
    def config(self) -> LMConfig:
        return self._config

    @property
    def eos(self) -> int:
        return self.config.speech_token_size

    @property
    def fill(self) -> int:
        return self.config.speech_token_size + 2

    @property
    def stop_ids(self) -> range:
        """The special ids, each of which ends speech whose text is all there."""
        return range(self.config.speech_token_size, self.config.speech_token_size + 3)

    def sos(self) -> mx.array:
        """Shapes: -> [1, 1, M]."""
        return self.llm_embedding(mx.array([[0]]))

    def task(self) -> mx.array:
        """Shapes: -> [1, 1, M]."""
        return self.llm_embedding(mx.array([[1]]))

    def text(self, ids: Sequence[int]) -> mx.array:
        """Shapes: L ids -> [1, L, M]. Raises: FormatError for an id that the model has no row for."""
        return self._rows(self.embed_tokens, ids, self.config.vocab_size, "text")

    def speech(self, ids: Sequence[int]) -> mx.array:
        """Shapes: L ids -> [1, L, M]. Raises: FormatError for an id that the model has no row for."""
        return self._rows(self.speech_embedding, ids, self.config.speech_token_size + 3, "speech")

    def _rows(self, table: nn.Embedding, ids: Sequence[int], rows: int, what: str) -> mx.array:
        """Indexing in MLX does not check its range, and a quantized table has no empty selection."""
        wrong = [i for i in ids if not 0 <= i < rows]
        if wrong:
            raise FormatError(f"{what} token {wrong[0]} is outside the model's 0 to {rows - 1}")
        if not ids:
            return mx.zeros((1, 0, self.config.hidden_size), self.norm.weight.dtype)
        return table(mx.array(list(ids), dtype=mx.int32)[None])

    def start(self) -> list[KVCache]:
        """An empty cache for every layer."""
        return [KVCache() for _ in self.layers]

    def __call__(self, x: mx.array, cache: list[KVCache] | None = None) -> mx.array:
        """Embeddings to hidden states, after those in the cache. Shapes: x [B, L, M] -> [B, L, M]."""
        offset = cache[0].offset if cache else 0
        head_dim = self.config.hidden_size // self.config.num_attention_heads
        positions = rotary(mx.arange(offset, offset + x.shape[1]), head_dim, self.config.rope_theta)
        for number_, layer in enumerate(self.layers):
            x = layer(x, positions, cache[number_] if cache else None)
        return tap("lm_hidden", ops.rms_norm(x, self.norm.weight, self.norm.eps))

    def logits(self, hidden: mx.array) -> mx.array:
        """Shapes: hidden [B, L, M] -> [B, L, V] float32, with V the speech tokens and the special ones."""
        return tap("lm_logits", linear(self.llm_decoder, hidden).astype(mx.float32))

    def prompt(self, text: Sequence[int], speech: Sequence[int]) -> mx.array:
        """The sequence up to where new speech begins. Shapes: -> [1, 2 + text + speech, M]."""
        return mx.concatenate([self.sos(), self.text(text), self.task(), self.speech(speech)], axis=1)
