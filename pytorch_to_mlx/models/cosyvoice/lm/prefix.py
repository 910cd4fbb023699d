"""What a language model of version 2 or 3 has read before the text of a request, so that it is read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from ....nn.cache import KVCache
from .qwen2 import Qwen2LM


@dataclass(frozen=True)
class Prefix:
    """Keys and values of sos and of the text tokens that follow it. A recording's speech comes after the new text.

    Shapes: layers, of each two of [1, H, 1 + text, D].
    """

    text: tuple[int, ...]
    layers: tuple[tuple[mx.array, mx.array], ...]

    @classmethod
    def read(cls, lm: Qwen2LM, text: Sequence[int]) -> "Prefix":
        """Read sos and the text. Raises: FormatError for an id outside the vocabulary."""
        cache = lm.new_cache()
        lm(mx.concatenate([lm.embed_sos(), lm.embed_text(text)], axis=1), cache)
        layers = [layer.arrays for layer in cache]
        prefix = tuple(
            (mx.contiguous(keys[:, :, : 1 + len(text)]), mx.contiguous(values[:, :, : 1 + len(text)]))
            for keys, values in layers
        )
        mx.eval(prefix)
        return cls(tuple(text), prefix)

    def begin(self, cache: list[KVCache], text: Sequence[int]) -> int:
        """Put what a sequence of sos and `text` has in common with this into an empty cache; return how many steps."""
        most = min(len(self.text), len(text))
        count = 1 + next((n for n in range(most) if self.text[n] != text[n]), most)
        for layer, (keys, values) in zip(cache, self.layers, strict=True):
            layer.update(keys[:, :, :count], values[:, :, :count])
        return count

    def arrays(self) -> dict[str, mx.array]:
        """Return what `from_arrays` takes."""
        named = {
            f"{i}.{name}": array for i, pair in enumerate(self.layers) for name, array in zip("kv", pair, strict=True)
        }
        return {"text": mx.array(np.array(self.text, np.int32)), **named}

    @classmethod
    def from_arrays(cls, lm: Qwen2LM, arrays: Mapping[str, mx.array]) -> "Prefix":
        """Return the prefix with these arrays. Raises: ValueError if they are not of this model."""
        config, text = lm.config, arrays.get("text")
        if text is None or text.ndim != 1 or text.dtype != mx.int32:
            raise ValueError("text is not a row of ids")
        ids = tuple(np.array(text).tolist())
        if any(not 0 <= i < config.vocab_size for i in ids):
            raise ValueError(f"text holds something other than ids from 0 to {config.vocab_size - 1}")
        head_dim = config.hidden_size // config.num_attention_heads
        shape, dtype = (1, config.num_key_value_heads, 1 + len(ids), head_dim), lm.norm.weight.dtype
        names = {f"{i}.{name}" for i in range(config.num_hidden_layers) for name in "kv"}
        if arrays.keys() != {"text", *names}:
            raise ValueError("other layers")
        for name in sorted(names):
            if arrays[name].shape != shape or arrays[name].dtype != dtype:
                raise ValueError(
                    f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}, not {dtype} {list(shape)}"
                )
        return cls(ids, tuple((arrays[f"{i}.k"], arrays[f"{i}.v"]) for i in range(config.num_hidden_layers)))
