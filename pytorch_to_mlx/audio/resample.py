"""Change the sample rate of audio."""

import math
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

ZERO_CROSSINGS, ROLLOFF = 6, 0.99  # torchaudio's defaults
LARGEST_TABLE = 1 << 22


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample with a linear-phase low-pass filter (soxr's high quality: pass band to 0.91 of Nyquist).

    Shapes: audio float [L] -> float32 [round(L * to_rate / from_rate)].
    """
    audio = np.ascontiguousarray(audio, np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    import soxr

    return soxr.resample(audio, from_rate, to_rate, quality="HQ")


def resample_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int) -> Iterator[np.ndarray]:
    """Resample blocks as `resample` does the whole: together they are the same samples.

    Shapes: float32 [L] each -> float32 [L'] each.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        if len(output := stream.resample_chunk(np.ascontiguousarray(block, np.float32))):
            yield output
    if len(output := stream.resample_chunk(np.zeros(0, np.float32), last=True)):
        yield output


def sinc_resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Resample as torchaudio does by default, for models whose reference resamples its recordings so.

    The filter is short (a sinc of 6 zero crossings under a Hann window), so `resample` sounds better. Ratios of rates
    that need a filter for each of thousands of phases go through `resample` too.
    Shapes: audio float [L] -> float32 [ceil(L * to_rate / from_rate)], except for such ratios.
    Source: Smith & Gossett 1984; torchaudio.transforms.Resample 2.9, whose roundings this keeps.
    """
    audio = np.ascontiguousarray(audio, np.float32)
    if from_rate == to_rate or not len(audio):
        return audio
    common = math.gcd(from_rate, to_rate)
    source, target = from_rate // common, to_rate // common
    if source * target > LARGEST_TABLE:
        return resample(audio, from_rate, to_rate)
    filters = _filters(source, target)  # [target, taps]
    taps = filters.shape[1]
    width = (taps - source) // 2
    padded = np.pad(audio, (width, width + source)).astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(padded, taps)[::source]
    n_rows = max(1, (1 << 22) // taps)  # at a time, so that a long recording is not copied a hundredfold
    parts = [frames[i : i + n_rows] @ filters.T for i in range(0, len(frames), n_rows)]
    return np.concatenate(parts).astype(np.float32).reshape(-1)[: -(-len(audio) * target // source)]


@cache
def _filters(source: int, target: int) -> np.ndarray:
    """Return one filter for each phase. Shapes: -> [target, 2 * width + source] float64, rounded to float32."""
    cutoff = min(source, target) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * source / cutoff)
    phases = np.arange(target, dtype=np.float32) / np.float32(target)  # in float32, as torchaudio does
    t = (np.arange(-width, width + source) / source - phases.astype(np.float64)[:, None]) * cutoff
    t = np.clip(t, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(t * np.pi / ZERO_CROSSINGS / 2) ** 2
    return (np.sinc(t) * window * (cutoff / source)).astype(np.float32).astype(np.float64)
