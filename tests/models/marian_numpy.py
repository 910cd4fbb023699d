"""A student of Bergamot in plain NumPy, step by step: what 100 sentences are compared with.

Source: marian-dev 1.12, src/models/transformer.h, src/rnn/cells.h `SSRU`. Only the reader of files is shared with the
reference in PyTorch.
"""

from pathlib import Path

import numpy as np

from pytorch_to_mlx.models.marian.reference_student import read_arrays

HEADS, N_ENCODER, N_DECODER = 8, 6, 2
END = 0


class NumpyStudent:
    def __init__(self, folder: Path) -> None:
        self.w = {name: array for name, array in read_arrays(folder).items() if array.dtype == np.float32}
        self.size = self.w["Wemb"].shape[1]

    def affine(self, x, weight, bias):
        return x @ self.w[weight] + self.w[bias]

    def norm(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(1e-9))
        return centred / deviation * self.w[f"{name}_scale"] + self.w[f"{name}_bias"]

    def positions(self, start, n):
        half = self.size // 2
        step = np.float32(np.log(np.float32(10000))) / np.float32(half - 1)
        phase = np.arange(start, start + n, dtype=np.float32)[:, None] * np.exp(
            -np.arange(half, dtype=np.float32) * step
        )
        return np.concatenate([np.sin(phase), np.cos(phase)], axis=1)

    def keys_values(self, name, memory):
        return [self.affine(memory, f"{name}_W{letter}", f"{name}_b{letter}") for letter in "kv"]

    def attend(self, name, x, keys, values):
        q, k, v = (
            y.reshape(len(y), HEADS, -1).transpose(1, 0, 2)
            for y in (self.affine(x, f"{name}_Wq", f"{name}_bq"), keys, values)
        )
        scores = q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(q.shape[-1]))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (weights / weights.sum(axis=-1, keepdims=True)) @ v
        mixed = mixed.transpose(1, 0, 2).reshape(x.shape)
        return self.norm(x + self.affine(mixed, f"{name}_Wo", f"{name}_bo"), f"{name}_Wo_ln")

    def feed(self, name, x):
        inner = np.maximum(self.affine(x, f"{name}_W1", f"{name}_b1"), 0)
        return self.norm(x + self.affine(inner, f"{name}_W2", f"{name}_b2"), f"{name}_ffn_ln")

    def encode(self, source):
        x = self.w["Wemb"][source] * np.float32(np.sqrt(self.size)) + self.positions(0, len(source))
        for n in range(1, N_ENCODER + 1):
            name = f"encoder_l{n}_self"
            x = self.feed(f"encoder_l{n}_ffn", self.attend(name, x, *self.keys_values(name, x)))
        return x

    def greedy(self, source, words=None, limit=200):
        """Return (tokens without the end, sum of their log probabilities). words: the ids of a shortlist."""
        memory = self.encode(source)
        crossed = [self.keys_values(f"decoder_l{n}_context", memory) for n in range(1, N_DECODER + 1)]
        words = np.arange(len(self.w["Wemb"])) if words is None else np.asarray(words)
        table, bias = self.w["Wemb"][words], self.w["decoder_ff_logit_out_b"][0, words]
        cells = [np.zeros((1, self.size), np.float32)] * N_DECODER
        embedding, tokens, total = np.zeros((1, self.size), np.float32), [], 0.0
        for step in range(limit):
            x = embedding * np.float32(np.sqrt(self.size)) + self.positions(step, 1)
            for n in range(1, N_DECODER + 1):
                name = f"decoder_l{n}_rnn"
                forget = 1 / (1 + np.exp(-self.affine(x, f"{name}_Wf", f"{name}_bf")))
                cells[n - 1] = forget * cells[n - 1] + (1 - forget) * (x @ self.w[f"{name}_W"])
                x = self.norm(x + np.maximum(cells[n - 1], 0), f"{name}_ffn_ln")
                x = self.feed(f"decoder_l{n}_ffn", self.attend(f"decoder_l{n}_context", x, *crossed[n - 1]))
            logits = (x @ table.T)[0] + bias
            best = int(logits.argmax())
            total -= float(np.log(np.exp(logits - logits[best]).sum()))
            if words[best] == END:
                break
            tokens.append(int(words[best]))
            embedding = self.w["Wemb"][words[best]][None]
        return tokens, total
