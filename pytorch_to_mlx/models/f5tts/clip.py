"""The recording of a voice as the model takes it: long pauses shortened, 12 s at most, no silence at its ends."""

from dataclasses import dataclass
from typing import Literal

from ...audio.silence import Pcm, split_on_silence, trim_silence

MAX_MS, MIN_MS = 12_000, 6_000
KEEP_MS = 1_000
PAUSES = ((1_000, -50.0), (100, -40.0))  # length in ms and level in dBFS of the pauses at which a recording is cut
EDGE_DB = -42.0
TAIL_MS = 50
Cut = Literal["no", "pause", "hard"]


@dataclass(frozen=True)
class Clip:
    """cut: whether the end of the recording is missing, and whether it was cut at a pause or in the middle."""

    pcm: Pcm
    cut: Cut = "no"


def clip_recording(pcm: Pcm) -> Clip:
    """Shorten long pauses, cut after 12 s, at a pause if there is one after 6 s, and trim the ends.

    Source: f5-tts 1.1.22, infer/utils_infer.py `preprocess_ref_audio_text`.
    """
    cut: Cut = "no"
    loud = Pcm.silent(0)
    for min_ms, threshold_db in PAUSES:
        cut = "no"
        loud = Pcm.silent(0)
        for part in split_on_silence(pcm, min_ms=min_ms, threshold_db=threshold_db, keep_ms=KEEP_MS):
            longer = loud + part
            if loud.ms > MIN_MS and longer.ms > MAX_MS:
                cut = "pause"
                break
            loud = longer
        if loud.ms <= MAX_MS:
            break
    if loud.ms > MAX_MS:
        loud, cut = loud.cut(0, MAX_MS), "hard"
    return Clip(trim_silence(loud, threshold_db=EDGE_DB), cut)


def with_tail(pcm: Pcm, ms: int) -> Pcm:
    """Return a recording with silence after it."""
    return pcm + Pcm.silent(ms)
