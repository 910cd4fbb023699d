"""Example inputs for any Hugging Face model: guessed from the names in `forward` and the sizes in its config.

`candidates` yields sets of (kind, shape) by name, to be tried until the model runs; `make_tensors` fills them.
"""

import inspect
import math
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import torch
from torch import nn

from ...errors import PortError

Shapes = dict[str, tuple]  # name -> (kind, shape)
NEVER_ADDED = "past_key_values|.*cache.*|labels|return_.*|output_.*|.*_embeds|encoder_outputs|position_ids"
"""Optional inputs that replace others, or switch something on."""
PATCH_GRID = (4, 4)  # rows and columns of patches of each image, for models that take images as lists of patches
# What third-party code may raise on inputs that do not fit; anything else is a bug of this program and ends it.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    PortError,
)


def parts(config: Any) -> Iterator[Any]:
    """Yield a config and every config inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from parts(value)


def field(config: Any, *names: str, default: Any = None) -> Any:
    """Return the first of several fields that a config, or a config inside it, has; else the default."""
    for name in names:
        for part in parts(config):
            value = getattr(part, name, None)
            if value is not None:
                return value
    return default


def special_tokens(config: Any) -> set[int]:
    """Collect the token ids that mean something to the model, such as image placeholders: examples avoid them."""
    return {
        value
        for part in parts(config)
        for name, value in vars(part).items()
        if "token" in name and isinstance(value, int) and not isinstance(value, bool)
    }


def candidates(
    model: nn.Module, config: Any, batch: int, length: int, image: int, also: Sequence[str] = ()
) -> Iterator[Shapes]:
    """Yield sets of inputs to try, most likely first. also: optional inputs that are needed."""
    parameters = inspect.signature(model.forward).parameters
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    main = getattr(model, "main_input_name", "input_ids")
    names = [main] if main in parameters else []
    names += [name for name in required if name not in names]
    names += [name for name in also if name not in names]
    names += [name for name in parameters if name == "noise_sequence"]  # else drawn at random
    encoder_decoder = getattr(config, "is_encoder_decoder", False)
    if encoder_decoder and "decoder_input_ids" in parameters and "decoder_input_ids" not in names:
        names.append("decoder_input_ids")
    if "input_ids" in names and "attention_mask" in parameters:
        names.append("attention_mask")
    companions = (["pixel_values"], ["bbox"], ["visual_feats", "visual_pos"])
    addable = [group for group in companions if not also and set(group) <= set(parameters) - set(names)]
    for extra in ([], *addable) if "input_ids" in names else ([],):
        options = [list(shapes_of(name, config, batch, length, image, list(parameters))) for name in [*names, *extra]]
        for choice in likeliest_first([len(option) for option in options]):
            yield {name: option[i] for name, option, i in zip([*names, *extra], options, choice, strict=True)}


def likeliest_first(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every choice of one index into each of several lists: first those with fewest indices above 0, then by sum.

    Choices are generated lazily, from a heap: twelve inputs with a dozen shapes each have 12^12, and few are tried.
    """
    start = (0,) * len(counts)
    heap: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, start)] * all(counts)
    seen: set[tuple[int, ...]] = {start}
    while heap:
        _, total, choice = heappop(heap)
        yield choice
        for i, index in enumerate(choice):
            successor = (*choice[:i], index + 1, *choice[i + 1 :])
            if index + 1 < counts[i] and successor not in seen:
                seen.add(successor)
                heappush(heap, (sum(map(bool, successor)), total + 1, successor))


def missing_input(error: BaseException, model: nn.Module, present: Iterable[str]) -> str | None:
    """Return the absent optional input that an error is about: its message or the line that failed names it."""
    lines = [entry.line or "" for entry in traceback.extract_tb(error.__traceback__) if "/models/" in entry.filename]
    text = " ".join([str(error), *lines[-1:]])
    for name, parameter in inspect.signature(model.forward).parameters.items():
        if name in present or parameter.default is not None or re.fullmatch(NEVER_ADDED, name):
            continue
        if re.search(rf"\b{name}(_lengths)?\b", text):
            return name
    return None


def shapes_of(
    name: str, config: Any, batch: int, length: int, image: int, names: Sequence[str] = ()
) -> Iterator[tuple]:
    """Yield likely (kind, shape) pairs of one input, most likely first. names: all inputs that the model knows."""
    channels = field(config, "num_channels", "in_channels", "in_chans", default=3)
    side = _side(field(config, "image_size", default=image), image)
    frames = field(config, "num_frames", "frames", "temporal_size", default=4)
    mels = field(config, "num_mel_bins", "input_feat_per_channel", "feature_size", "n_mels", "input_dim", default=80)
    if name.endswith("input_ids") or name in ("input", "tokens"):
        yield "ids", (batch, length)
        yield "ids", (batch, length, 1 + field(config, "num_codebooks", default=4))
        if "pixel_values" not in names and channels != 3:
            yield "ids", (batch, length, channels)
        if books := field(config, "num_codebooks"):
            yield "ids", (batch * books, length)
        if "pixel_values" in names and (places := field(config, "num_query_tokens", "image_seq_length")):
            yield "ids after image places", (batch, places + length)
    elif name.endswith("grid_thw"):
        yield "grid", (batch, 3)
    elif name in ("merge_sizes", "freq"):
        yield "zeros" if name == "freq" else "ones", (batch, 1) if name == "freq" else (batch,)
    elif name == "is_longer":
        yield "true", (batch, 1)
    elif name in ("states", "actions", "rewards", "returns_to_go"):
        yield "noise", (batch, length, {"states": config.state_dim, "actions": config.act_dim}.get(name, 1))
    elif name == "noise_sequence":
        for count in (8 * length, 64, 128):
            yield "noise", (batch, count, config.model_in_channels)
    elif name == "timesteps":
        yield "ids", (batch, length)
    elif name == "visual_feats":
        yield "noise", (batch, 5, field(config, "visual_feat_dim", default=32))
    elif name == "visual_pos":
        yield "noise", (batch, 5, field(config, "visual_pos_dim", default=4))
    elif name == "attention_mask":
        yield (
            "padded",
            (batch, length),
        )  # with no padding transformers drops the mask when it runs, but not in an export
        yield "ones", (batch, length)
    elif name.endswith("_attention_mask") or name == "padding_mask":
        yield "ones", (batch, length)
    elif name == "bbox":
        yield "boxes", (batch, length, 4)
    elif "grid_thw" in names and name in ("hidden_states", "pixel_values"):
        patch, merged = field(config, "patch_size", default=8), field(config, "temporal_patch_size", default=1)
        for depth in dict.fromkeys((merged, 1, 2)):
            yield "noise", (batch * math.prod(PATCH_GRID), channels * depth * patch * patch)
            yield "noise", (batch * math.prod(PATCH_GRID), channels, patch, patch)
    elif "pixel_values" in name or name in ("images", "image", "sam_pixel_values"):
        for height, width in dict.fromkeys((side, (image, image), (64, 64), (128, 128), (224, 224))):
            yield "noise", (batch, channels, height, width)
            yield "noise", (batch, frames, channels, height, width)
            yield "noise", (batch, 1, channels, height, width)
    elif name in ("input_features_mask", "feature_attention_mask", "audio_mel_mask"):
        for count in dict.fromkeys(
            (2 * field(config, "max_source_positions", default=4 * length), 8 * length, 64, 128)
        ):
            yield "true" if name == "audio_mel_mask" else "ones", (batch, count)
    elif "input_features" in name or name in ("features", "input_feature", "audio_mel"):
        long = 2 * field(config, "max_source_positions", default=4 * length)
        for count in dict.fromkeys((long, 8 * length, 64, 128)):
            yield "noise", (batch, mels, count)
            yield "noise", (batch, count, mels)
            yield "noise", (batch, 1, count, mels)
        yield "noise", (batch, 1, 1024, 64)
    elif name in ("input_values", "waveform", "audio_values"):
        for count in (400 * length, 1600 * length):
            yield "noise", (batch, count)
            yield "noise", (batch, 1, count)
        yield "noise", (batch, 1024, 128)
    elif name == "inputs_embeds":
        yield "noise", (batch, length, field(config, "hidden_size", "d_model", default=32))
    elif name == "past_values_padding":
        yield "zeros", (batch, field(config, "context_length", default=32))
    elif name in ("past_values", "past_time_features", "past_observed_mask", "future_values", "future_time_features"):
        yield from _time_series(name, config, batch)
    elif "mask" in name:
        yield "ones", (batch, length)
    elif "ids" in name or "index" in name or "codes" in name:
        yield "ids", (batch, length)
        yield "ids", (batch, field(config, "num_codebooks", "num_quantizers", default=4), length)
    else:
        width = field(config, "hidden_size", "d_model", default=32)
        yield "noise", (batch, length, width)
        yield "noise", (batch, width, length)
        yield "noise", (batch, length)
        yield "noise", (batch, width)


def _side(value: Any, image: int) -> tuple[int, int]:
    """Return (height, width) of a config's `image_size`, in whatever form it is written."""
    if isinstance(value, dict):
        return value.get("height", image), value.get("width", image)
    if isinstance(value, list | tuple) and len(value) == 2:
        height, width = value
        return height, width
    return (value, value) if isinstance(value, int) else (image, image)


def _time_series(name: str, config: Any, batch: int) -> Iterator[tuple]:
    """Yield likely (kind, shape) pairs of one input of a forecasting model, by its context, lags and horizon."""
    context = field(config, "context_length", "seq_length", default=32)
    lags = max(field(config, "lags_sequence", default=[0]) or [0])
    past = context + lags
    future = field(config, "prediction_length", default=8) or 8
    features = field(config, "num_time_features", default=1)
    series = field(config, "num_input_channels", "input_size", default=1)
    length = past if name.startswith("past") else future
    if name.endswith("time_features"):
        yield "noise", (batch, length, features)
        return
    kind = "ones" if "mask" in name else "noise"
    yield kind, (batch, length)
    yield kind, (batch, length, series)


def make_tensors(shapes: Mapping[str, tuple], config: Any, seed: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    """Make tensors of the chosen kinds and shapes, random ones from the seed.

    Shapes: each tensor has the shape beside its kind.
    """
    generator = torch.Generator().manual_seed(seed)
    vocabulary = field(config, "vocab_size", default=64)
    special = special_tokens(config)
    ids = torch.tensor([i for i in range(3, min(max(vocabulary, 4), 1024)) if i not in special] or [0])
    tensors: dict[str, torch.Tensor] = {}
    for name, (kind, shape) in shapes.items():
        if kind in ("ids", "ids after image places"):
            value = ids[torch.randint(0, len(ids), shape, generator=generator)]
            if kind == "ids after image places":
                n_places = field(config, "num_query_tokens", "image_seq_length")
                value[:, :n_places] = field(config, "image_token_id", "image_token_index")
        elif kind == "padded":
            value = torch.ones(shape, dtype=torch.long)
            value[-1, -2:] = 0
        elif kind == "ones":
            value = torch.ones(shape, dtype=torch.long)
        elif kind == "zeros":
            value = torch.zeros(shape, dtype=torch.long)
        elif kind == "true":
            value = torch.ones(shape, dtype=torch.bool)
        elif kind == "grid":
            value = torch.tensor([[1, *PATCH_GRID]]).repeat(shape[0], 1)
        elif kind == "boxes":
            corner = torch.randint(0, 50, (*shape[:-1], 2), generator=generator)
            value = torch.cat([corner, corner + torch.randint(1, 14, corner.shape, generator=generator)], dim=-1)
        else:
            value = torch.randn(shape, generator=generator)
        tensors[name] = value.to(device)
    return tensors
