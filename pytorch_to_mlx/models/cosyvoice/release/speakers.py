"""Read the speakers that a release saves in spk2info.pt."""

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx

from ....checkpoint import Checkpoint
from ....checkpoint.files import quote
from ....errors import FormatError
from ....units import count_text

# A field of spk2info.pt -> our array, its type and its shape.
_FIELDS: dict[str, tuple[str, mx.Dtype, Callable[[mx.array], mx.array]]] = {
    "embedding": ("embedding", mx.float32, lambda a: a.reshape(1, -1)),
    "flow_embedding": ("embedding", mx.float32, lambda a: a.reshape(1, -1)),
    "prompt_text": ("prompt_text", mx.int32, lambda a: a.reshape(-1)),
    "flow_prompt_speech_token": ("speech_tokens", mx.int32, lambda a: a.reshape(-1)),
    "prompt_speech_feat": ("mel", mx.float32, lambda a: a.reshape(1, *a.shape[-2:])),
}
# The same values again, for the language model; that of version 2 takes no embedding.
_DUPLICATE_FIELDS = ("llm_embedding", "llm_prompt_speech_token")


def read_speakers(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, dict[str, mx.array]]:
    """Return each speaker's arrays by name: `embedding`, and of a saved prompt `prompt_text`, `speech_tokens`, `mel`.

    Shapes: embedding [1, 192], prompt_text and speech_tokens [L] int32, mel [1, T, n_mels].
    Raises: FormatError listing the entries that are not a speaker's or do not fit the model.
    """
    speakers: dict[str, dict[str, mx.array]] = {}
    problems = []
    for key in checkpoint.names():
        name, _, field = key.rpartition(".")
        if field in _DUPLICATE_FIELDS or field.endswith("_len"):
            continue
        if field not in _FIELDS or not name or name.startswith(".") or set(name) & set("/\\\0"):
            problems.append(f"{quote(key)} is not a known field of a speaker with a usable name")
            continue
        ours, dtype, reshaped = _FIELDS[field]
        array = checkpoint[key]
        if array.ndim < (2 if ours == "mel" else 1) or not array.size:
            problems.append(f"{quote(key)} has shape {list(array.shape)}")
            continue
        speakers.setdefault(name, {})[ours] = mx.contiguous(reshaped(array).astype(dtype))
    for name, arrays in speakers.items():
        problems += [f"{quote(name)}: {problem}" for problem in speaker_problems(arrays, config)]
    if problems:
        where, fix = checkpoint.source, "save the speakers again with the original, or remove the file"
        raise FormatError(
            f"{count_text(len(problems), 'entry', 'entries')} cannot be used", where=where, fix=fix, details=problems
        )
    return speakers


def speaker_problems(arrays: Mapping[str, mx.array], config: dict[str, Any]) -> list[str]:
    """Return what is wrong with one speaker's arrays for a model of this config."""
    size, mels = config["flow"]["speaker_dim"], config["flow"]["n_mels"]
    if "embedding" not in arrays:
        return ["no embedding"]
    problems = []
    if arrays["embedding"].shape != (1, size):
        problems.append(f"the embedding has {arrays['embedding'].size} numbers, the model takes {size}")
    if "mel" in arrays and arrays["mel"].shape[2] != mels:
        problems.append(f"the mel has {arrays['mel'].shape[2]} bands, the model takes {mels}")
    limits = {"prompt_text": config["lm"]["vocab_size"], "speech_tokens": config["flow"]["vocab_size"]}
    for name, limit in limits.items():
        if name in arrays and not 0 <= int(arrays[name].min()) <= int(arrays[name].max()) < limit:
            problems.append(f"{name} has ids outside 0 … {limit - 1}")
    floats = [name for name in ("embedding", "mel") if name in arrays]
    return problems + [f"{name} is not finite" for name in floats if not mx.isfinite(arrays[name]).all().item()]
