"""The recording of a voice as the model takes it: long pauses shortened, 12 s at most, no silence at its ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...audio.silence import Pcm, split_on_silence, trim_silence
from ...tasks import Speech

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


def without_long_pauses(pieces: Sequence[Speech]) -> Speech:
    """Return speech whose pauses of over a second are one second: half a second beside each of what they part.

    Source: f5-tts 1.1.22, infer/utils_infer.py `remove_silence_for_generated_wav`.
    """
    speech = Speech.concatenate(pieces)
    audible, pcm = Pcm.silent(0, speech.sample_rate), Pcm.of(speech.audio, speech.sample_rate, 16)
    for part in split_on_silence(pcm, min_ms=1000, threshold_db=-50.0, keep_ms=500):
        audible = audible + part
    return replace(speech, audio=audible.to_float())
