"""The language model of versions 2 and 3: Qwen2 from text to speech tokens. Du et al. 2024, "CosyVoice 2", section 2.3.

Reference: Qwen2LM and CosyVoice3LM, cosyvoice/llm/llm.py@ace7c47.
"""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from ....backend import ops
from ....errors import FormatError
from ....nn.cache import KVCache
from ....nn.decoder import DecoderLayer
from ....nn.linear import linear
from ....nn.rope import rotary_tables
from ....taps import tap
from ..versions import COSYVOICE2, SpecialTokens
from .config import LMConfig


class Qwen2LM(nn.Module):
    """Predict the next speech token after the sequence sos, text, task, speech.

    Speech ids from `speech_token_size` on are special: `eos` ends the speech, `fill` asks for more text.
    """

    def __init__(self, config: LMConfig, special: SpecialTokens = COSYVOICE2.special) -> None:
        super().__init__()
        self._config, self._special = config, special
        size, n_speech = config.hidden_size, config.speech_token_size + special.count
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
        if not special.merged:
            self.llm_embedding = nn.Embedding(2, size)
        self.speech_embedding = nn.Embedding(n_speech, size)
        self.llm_decoder = nn.Linear(size, n_speech, bias=not special.merged)

    @property
    def config(self) -> LMConfig:
        """The sizes that it was built with."""
        return self._config

    @property
    def eos(self) -> int:
        """The id that ends the speech."""
        return self.config.speech_token_size + self._special.eos

    @property
    def fill(self) -> int:
        """The id that asks for more text."""
        return self.config.speech_token_size + self._special.fill

    @property
    def guarded(self) -> int:
        """The only id that the original forbids while speech is shorter than its minimum."""
        return self.config.speech_token_size + self._special.guarded

    @property
    def special_ids(self) -> range:
        """The ids that are not speech; each of them ends speech whose text is complete."""
        return range(self.config.speech_token_size, self.config.speech_token_size + self._special.count)

    def embed_sos(self) -> mx.array:
        """Return the start of every sequence. Shapes: -> [1, 1, M]."""
        return self._embed_special(self._special.sos)

    def embed_task(self) -> mx.array:
        """Return what stands between text and speech. Shapes: -> [1, 1, M]."""
        return self._embed_special(self._special.task)

    def embed_text(self, ids: Sequence[int]) -> mx.array:
        """Shapes: L ids -> [1, L, M]. Raises: FormatError for an id outside the vocabulary."""
        return self._embed(self.embed_tokens, ids, self.config.vocab_size, "text")

    def embed_speech(self, ids: Sequence[int]) -> mx.array:
        """Shapes: L ids -> [1, L, M]. Raises: FormatError for an id outside the vocabulary."""
        return self._embed(self.speech_embedding, ids, self.special_ids.stop, "speech")

    def embed_prompt(self, text: Sequence[int], speech: Sequence[int], speaker: mx.array | None = None) -> mx.array:
        """Return the sequence up to where new speech begins. A speaker is heard in the speech alone.

        Shapes: -> [1, 2 + text + speech, M].

        Raises: FormatError for an id outside its vocabulary.
        """
        return mx.concatenate(
            [self.embed_sos(), self.embed_text(text), self.embed_task(), self.embed_speech(speech)], axis=1
        )

    def new_cache(self) -> list[KVCache]:
        """Return an empty cache for every layer."""
        return [KVCache() for _ in self.layers]

    def __call__(self, x: mx.array, cache: list[KVCache] | None = None) -> mx.array:
        """Return the hidden states of embeddings that follow those in the cache. Shapes: x [B, L, M] -> [B, L, M]."""
        offset = cache[0].offset if cache else 0
        head_dim = self.config.hidden_size // self.config.num_attention_heads
        positions = rotary_tables(mx.arange(offset, offset + x.shape[1]), head_dim, self.config.rope_theta)
        for i, layer in enumerate(self.layers):
            x = layer(x, positions, cache[i] if cache else None)
        return tap("lm_hidden", ops.rms_norm(x, self.norm.weight, self.norm.eps))

    def logits(self, hidden: mx.array) -> mx.array:
        """Score every speech and special id. Shapes: hidden [B, L, M] -> [B, L, V] float32."""
        return tap("lm_logits", linear(self.llm_decoder, hidden).astype(mx.float32))

    def _embed_special(self, row: int) -> mx.array:
        if self._special.merged:
            return self.speech_embedding(mx.array([[self.config.speech_token_size + row]]))
        return self.llm_embedding(mx.array([[row]]))

    def _embed(self, table: nn.Embedding, ids: Sequence[int], n_rows: int, kind: str) -> mx.array:
        # Indexing in MLX does not check its range, and a quantized table has no empty selection.
        outside = [i for i in ids if not 0 <= i < n_rows]
        if outside:
            raise FormatError(f"{kind} token {outside[0]} is outside the model's 0 to {n_rows - 1}")
        if not ids:
            return mx.zeros((1, 0, self.config.hidden_size), self.norm.weight.dtype)
        return table(mx.array(list(ids), dtype=mx.int32)[None])
