"""The keys and values of a text that was read: used on by the next text that begins the same, saved, and loaded."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ...checkpoint.budget import Budget
from ...checkpoint.files import quote
from ...checkpoint.safetensors import open_safetensors
from ...errors import FormatError, UsageError
from ...outputs import check_destination, write_output
from ...units import size_text

KIND = "pytorch-to-mlx prompt cache 1"


class PromptCache:
    """The cache of one model. tokens: what it holds. max_bytes: above it nothing is kept."""

    def __init__(self, model: Any, config: dict[str, Any], *, max_bytes: int | None = None, draft: Any = None) -> None:
        self.model, self.draft, self.max_bytes = model, draft, max_bytes
        self._digest = _digest(model, config)
        self._kv_bits: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        from mlx_lm.models.cache import make_prompt_cache

        self.tokens: list[int] = []
        self.layers = make_prompt_cache(self.model)
        self.draft_layers = [] if self.draft is None else make_prompt_cache(self.draft)

    @property
    def nbytes(self) -> int:
        """Return the bytes of the keys and values."""
        return sum(layer.nbytes for layer in (*self.layers, *self.draft_layers))

    @property
    def arrays(self) -> list[Any]:
        """Return the caches of all layers, those of the draft model behind the others, as mlx-lm takes them."""
        return self.layers if self.draft is None else [*self.layers, *self.draft_layers]

    def begin(self, ids: Sequence[int], kv_bits: int | None = None) -> list[int]:
        """Return the tokens of a text that must still be read: what it has in common with the last one is kept.

        kv_bits: of the numbers in the cache; another number of bits begins anew.
        """
        from mlx_lm.models.cache import can_trim_prompt_cache, trim_prompt_cache

        if kv_bits != self._kv_bits:
            self.reset()
            self._kv_bits = kv_bits
        most = min(len(self.tokens), len(ids) - 1)
        n_common = next((n for n in range(most) if self.tokens[n] != ids[n]), most)
        surplus = len(self.tokens) - n_common
        if surplus and (self.draft is not None or not n_common or not can_trim_prompt_cache(self.layers)):
            self.reset()
            return list(ids)
        if surplus:
            trim_prompt_cache(self.layers, surplus)
        self.tokens = list(ids)
        return list(ids[n_common:])

    def end(self, tokens: Sequence[int]) -> None:
        """Take note of the tokens that were generated.

        A cache above the limit is dropped, and one of a text that was not read to its end.
        """
        self.tokens += tokens
        if not tokens or self.draft is not None or (self.max_bytes is not None and self.nbytes > self.max_bytes):
            self.reset()

    def save(self, path: Path) -> None:
        """Write the cache to a .safetensors file.

        Raises: UsageError for layers whose state is not keys and values alone, or an empty cache.
        """
        check_destination(path, regular=True)
        if not self.tokens:
            raise UsageError("there is no cache to save", where=path, fix="raise its limit")
        arrays = {"tokens": mx.array(self.tokens, mx.int32)}
        for number, layer in enumerate(self.layers):
            if type(layer).__name__ != "KVCache":
                fix = "use a model of full attention, without --kv-bits"
                raise UsageError(f"a {type(layer).__name__} is not saved", fix=fix)
            keys, values = layer.keys_and_values()
            arrays |= {f"layers.{number}.keys": keys, f"layers.{number}.values": values}
        mx.eval(arrays)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            file = Path(folder) / "cache.safetensors"
            mx.save_safetensors(str(file), arrays, {"kind": KIND, "model": self._digest})
            write_output(path, file.read_bytes())

    def load(self, path: Path) -> None:
        """Read what `save` wrote. Raises: FormatError for anything else, and for the cache of another model."""
        with open_safetensors(path, Budget(path)) as checkpoint:
            metadata = checkpoint.extra
            if metadata.get("kind") != KIND:
                raise FormatError("not a prompt cache", where=path)
            if metadata.get("model") != self._digest:
                raise FormatError("the prompt cache of another model", where=path)
            if self.max_bytes is not None and checkpoint.nbytes() > self.max_bytes:
                what = f"{size_text(checkpoint.nbytes())}, above the limit of {size_text(self.max_bytes)}"
                raise UsageError(what, where=path, fix="raise the limit")
            self.reset()
            arrays = {name: checkpoint[name] for name in checkpoint}
        tokens = arrays.pop("tokens", None)
        names = {f"layers.{n}.{part}" for n in range(len(self.layers)) for part in ("keys", "values")}
        if tokens is None or tokens.ndim != 1 or arrays.keys() != names:
            raise FormatError("a prompt cache of other layers", where=path)
        for name, array in arrays.items():
            if array.ndim != 4 or array.shape[0] != 1 or array.shape[2] != tokens.size:
                raise FormatError(f"{quote(name)} {list(array.shape)} does not fit {tokens.size} tokens", where=path)
        for number, layer in enumerate(self.layers):
            layer.keys, layer.values = arrays[f"layers.{number}.keys"], arrays[f"layers.{number}.values"]
            layer.offset = tokens.size
        self.tokens = np.array(tokens).tolist()


def _digest(model: Any, config: dict[str, Any]) -> str:
    """Return what tells models apart: the configuration, and the weights of one axis, which are small."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    parameters: list[Any] = list(tree_flatten(model.parameters()))
    for _, array in parameters:
        if array.ndim == 1:
            digest.update(np.array(array.astype(mx.float32)).tobytes())
    return digest.hexdigest()
