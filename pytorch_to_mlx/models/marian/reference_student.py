"""A model of Marian's own in PyTorch: its formulas, with its own reader, so that nothing here went through our maps.

Source: marian-dev 1.12, src/models/transformer.h, src/rnn/cells.h `SSRU`, src/layers/generic.h.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ...generate.options import GenerationOptions

INTGEMM8, FLOAT32 = 0x4101, 0x404


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the .npz or .bin in a folder, matrices as (in, out).

    Shapes: -> {name: any}. Raises: FormatError where there is neither.
    """
    path = next((p for p in (*sorted(folder.glob("*.npz")), *sorted(folder.glob("model*.bin")))), None)
    if path is None:
        raise FormatError("no .npz and no model….bin", where=folder)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays.files}
    data = path.read_bytes()
    (count,) = struct.unpack_from("<Q", data, 8)
    headers = [struct.unpack_from("<4Q", data, 16 + 32 * n) for n in range(count)]
    place, names, shapes, arrays = 16 + 32 * count, [], [], {}
    for length, *_ in headers:
        names.append(data[place : place + length - 1].decode())
        place += length
    for _, _, rank, _ in headers:
        shapes.append(struct.unpack_from(f"<{rank}i", data, place))
        place += 4 * rank
    place += 8 + struct.unpack_from("<Q", data, place)[0]
    for name, shape, (_, kind, _, nbytes) in zip(names, shapes, headers, strict=True):
        size = int(np.prod(shape))
        if kind == FLOAT32:
            arrays[name] = np.frombuffer(data, "<f4", size, place).reshape(shape)
        elif kind == INTGEMM8 and not name.endswith("QuantMultA"):
            q, scale = np.frombuffer(data, "i1", size, place), np.frombuffer(data, "<f4", 1, place + size)
            q = q.reshape(shape) if "Wemb" in name else q.reshape(shape[::-1]).T
            arrays[name] = q.astype(np.float32) / scale
        elif name == "special:model.yml":
            arrays[name] = np.frombuffer(data, "i1", size, place)
        place += nbytes
    return arrays


class Student:
    """Marian's transformer, in float32 and float64."""

    def __init__(self, source_path: Path) -> None:
        import torch
        import yaml

        arrays = read_arrays(source_path)
        model = yaml.safe_load(arrays.pop("special:model.yml").tobytes().rstrip(b"\0"))
        self.weights = {
            dtype: {name: torch.from_numpy(np.array(array)).to(getattr(torch, dtype)) for name, array in arrays.items()}
            for dtype in ("float32", "float64")
        }
        self.heads, self.activation = model["transformer-heads"], model["transformer-ffn-activation"]
        self.is_recurrent = model["transformer-decoder-autoreg"] == "rnn"
        self.depths = model["enc-depth"], model["dec-depth"]
        self.weights_from = f"{source_path.name}, read by this comparison's own reader"

    def encode(self, source: Sequence[int], dtype: str) -> np.ndarray:
        """Return the encoder's output. Shapes: -> [1, S, D]."""
        return self._encode(source, self.weights[dtype])[None].numpy()

    def logits(self, source: Sequence[int], target: Sequence[int], dtype: str) -> np.ndarray:
        """Return the logits after each token; a negative one stands for no token. Shapes: -> [1, L, V]."""
        import torch

        w = self.weights[dtype]
        memory = self._encode(source, w)
        table = w["Wemb"] if "Wemb" in w else w["decoder_Wemb"]
        known = torch.tensor([max(token, 0) for token in target])
        x = table[known] * (torch.tensor(target) >= 0)[:, None]
        x = self._with_positions(x, w)
        for n in range(1, self.depths[1] + 1):
            x = self._recurrence(n, x, w) if self.is_recurrent else self._attend(f"decoder_l{n}_self", x, x, w, True)
            x = self._attend(f"decoder_l{n}_context", x, memory, w)
            x = self._feed(f"decoder_l{n}_ffn", x, w)
        head = w["decoder_ff_logit_out_W"] if "decoder_ff_logit_out_W" in w else table.T
        return (x @ head + w["decoder_ff_logit_out_b"])[None].numpy()

    def beams(self, source: Sequence[int], options: GenerationOptions, limit: int) -> list[int] | None:
        """Return None: Marian's beam search is not here."""
        return None

    def _encode(self, source: Sequence[int], w: dict[str, Any]) -> Any:
        import torch

        table = w["Wemb"] if "Wemb" in w else w["encoder_Wemb"]
        x = self._with_positions(table[torch.tensor(list(source))], w)
        for n in range(1, self.depths[0] + 1):
            x = self._attend(f"encoder_l{n}_self", x, x, w)
            x = self._feed(f"encoder_l{n}_ffn", x, w)
        return x

    def _with_positions(self, x: Any, w: dict[str, Any]) -> Any:
        """Return embeddings · sqrt(D) + positions, which are computed in float32 as Marian does. Shapes: x [L, D]."""
        import torch

        length, size = x.shape
        if "Wpos" in w:
            return x * size**0.5 + w["Wpos"][:length]
        step = np.float32(np.log(np.float32(10000))) / np.float32(size // 2 - 1)
        scales = np.exp(-np.arange(size // 2, dtype=np.float32) * step)
        phase = np.arange(length, dtype=np.float32)[:, None] * scales
        table = np.concatenate([np.sin(phase), np.cos(phase)], axis=1)
        return x * size**0.5 + torch.from_numpy(table).to(x.dtype)

    def _norm(self, prefix: str, x: Any, w: dict[str, Any]) -> Any:
        from torch.nn.functional import layer_norm

        return layer_norm(x, x.shape[-1:], w[f"{prefix}_scale"][0], w[f"{prefix}_bias"][0], 1e-9)

    def _attend(self, prefix: str, x: Any, memory: Any, w: dict[str, Any], causal: bool = False) -> Any:
        from torch.nn.functional import scaled_dot_product_attention

        def heads(letter: str, y: Any) -> Any:
            projected = y @ w[f"{prefix}_W{letter}"] + w[f"{prefix}_b{letter}"]
            return projected.reshape(len(y), self.heads, -1).transpose(0, 1)

        q, k, v = heads("q", x), heads("k", memory), heads("v", memory)
        y = scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]
        y = y.transpose(0, 1).reshape(x.shape) @ w[f"{prefix}_Wo"] + w[f"{prefix}_bo"]
        return self._norm(f"{prefix}_Wo_ln", x + y, w)

    def _recurrence(self, n: int, x: Any, w: dict[str, Any]) -> Any:
        """Apply the simpler simple recurrent unit from its first step on. Shapes: x [L, D] -> the same."""
        import torch

        prefix = f"decoder_l{n}_rnn"
        forget = torch.sigmoid(x @ w[f"{prefix}_Wf"] + w[f"{prefix}_bf"])
        candidates, cell, cells = x @ w[f"{prefix}_W"], torch.zeros_like(x[0]), []
        for f, candidate in zip(forget, candidates, strict=True):
            cell = f * cell + (1 - f) * candidate
            cells.append(cell)
        return self._norm(f"{prefix}_ffn_ln", x + torch.relu(torch.stack(cells)), w)

    def _feed(self, prefix: str, x: Any, w: dict[str, Any]) -> Any:
        import torch

        y = x @ w[f"{prefix}_W1"] + w[f"{prefix}_b1"]
        y = {"relu": torch.relu, "swish": torch.nn.functional.silu, "gelu": lambda z: z * torch.sigmoid(1.702 * z)}[
            self.activation
        ](y)
        return self._norm(f"{prefix}_ffn_ln", x + y @ w[f"{prefix}_W2"] + w[f"{prefix}_b2"], w)
