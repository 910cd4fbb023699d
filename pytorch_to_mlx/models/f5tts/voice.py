"""A voice to follow: a recording and what it says, made as the model takes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...audio.load import Audio
from ...audio.resample import sinc_resample
from ...audio.silence import Pcm, trim_silence
from ...audio.wav import read_pcm
from ...checkpoint.packaged import find
from ...errors import FormatError, UsageError
from ...progress import note
from .clip import EDGE_DB, MAX_MS, TAIL_MS, Cut, clip_recording, with_tail
from .config import HOP_LENGTH, SAMPLE_RATE
from .listen import Listener, cut_transcript, end_at_a_word, join_words
from .plan import finish_transcript, n_bytes

TARGET_RMS = 0.1
PAUSE_S = 0.95  # silence added after the recording's own 50 ms, so that its last word does not run into the new speech
MIN_S, MAX_S = 0.5, 1800.0
MIN_SAMPLES = 513  # the fewest that a mel spectrogram can mirror at its ends
SLOWEST, FASTEST = 2.0, 45.0  # bytes of text a second; speech has 8 to 30
# Recordings of the package f5-tts, with what they say.
EXAMPLES = {
    "packaged:f5-example": "Some call me nature, others call me mother nature.",
    "packaged:f5-example-zh": "对，这就是我，万人敬仰的太乙真人。",
}


@dataclass(frozen=True)
class Voice:
    """A recording at SAMPLE_RATE, loud enough for the model, and what it says.

    samples: float32 [L], with `pause_s` of silence at the end that the recording did not have. transcript: from
    `finish_transcript`. recording_s: its length before it was resampled, without that silence. loudness: of the
    recording over that of `samples`, to make new speech as loud as it was.
    """

    samples: np.ndarray
    transcript: str
    recording_s: float
    loudness: float = 1.0
    pause_s: float = 0.0

    @property
    def n_frames(self) -> int:
        """The frames of the recording; its mel has one more."""
        return len(self.samples) // HOP_LENGTH

    @property
    def n_spoken_frames(self) -> int:
        """The frames of the recording without the silence that was added."""
        return (len(self.samples) - round(self.pause_s * SAMPLE_RATE)) // HOP_LENGTH


def make_voice(
    audio: Audio,
    transcript: str | None,
    listener: Listener,
    *,
    aloud: Callable[[str], str] = str,
    as_original: bool = False,
    target_rms: float = TARGET_RMS,
) -> Voice:
    """Return the voice of a recording: a file, 'packaged:f5-example', the bytes of a file, or samples at SAMPLE_RATE.

    Of a recording over 12 s the beginning is taken, and of its transcript too. Without a transcript `listener` hears
    what is said.

    aloud: what makes the transcript a text without numbers. as_original: cut the recording only, and add no pause.
    Raises: UsageError for silence, for a recording that is too short, and where transcript and recording do not fit;
    FormatError for a file that is not audio.
    """
    if isinstance(audio, str | Path) and str(audio) in EXAMPLES:
        transcript = transcript or EXAMPLES[str(audio)]
    where = str(audio) if isinstance(audio, str | Path) else None
    recording = read_recording(audio)
    clip = clip_recording(recording)
    pcm = clip.pcm
    _check_length(pcm, where, as_original)
    if as_original and transcript and transcript.strip():
        text = transcript
    else:
        pcm, text = _transcribe(pcm, clip.cut, (transcript or "").strip(), listener, as_original, where)
        text = aloud(text)
    if clip.cut != "no" and not as_original:
        note(f"the recording is cut to {pcm.ms / 1000:.1f} s; in it is said: {text}")
    pcm = with_tail(pcm, TAIL_MS)
    recording_s = len(pcm.samples) / pcm.rate
    rate = n_bytes(text) / recording_s
    if not SLOWEST <= rate <= FASTEST:
        note(f"warning: {n_bytes(text)} bytes of transcript for {recording_s:.1f} s: is it what the recording says?")
    samples = pcm.to_float()
    rms = float(np.sqrt(np.mean(np.square(samples))))
    if rms == 0:
        raise UsageError("the recording is silent", where=where)
    if rms < target_rms:
        samples = samples * np.float32(target_rms) / np.float32(rms)
    samples = sinc_resample(samples, pcm.rate, SAMPLE_RATE)
    pause_s = 0.0 if as_original else PAUSE_S
    samples = np.concatenate([samples, np.zeros(round(pause_s * SAMPLE_RATE), np.float32)])
    loudness = rms / target_rms if rms < target_rms else 1.0
    return Voice(samples, finish_transcript(text), recording_s, loudness, pause_s)


def read_recording(audio: Audio) -> Pcm:
    """Return a recording as whole numbers; samples [L] or [L, C] are at SAMPLE_RATE.

    Raises: FormatError for a file that is not audio, for more than MAX_S, and for samples that are not finite.
    """
    if isinstance(audio, str | Path) and str(audio) in EXAMPLES:
        [audio] = find(str(audio).removeprefix("packaged:")).glob("*.wav")
    if not isinstance(audio, np.ndarray):
        return Pcm(*read_pcm(audio, max_seconds=MAX_S))
    samples = np.asarray(audio, np.float32)
    if samples.ndim not in (1, 2) or not np.isfinite(samples).all():
        raise FormatError(f"samples must be finite and of the shape [L] or [L, C], found {list(audio.shape)}")
    return Pcm.of(samples, SAMPLE_RATE, 32)


def _check_length(pcm: Pcm, where: str | None, as_original: bool) -> None:
    if not len(pcm.samples):
        raise UsageError(f"the recording is silent: nothing in it is over {EDGE_DB:g} dB of full scale", where=where)
    enough = len(pcm.samples) * SAMPLE_RATE > MIN_SAMPLES * pcm.rate if as_original else pcm.ms >= 1000 * MIN_S
    if not enough:
        raise UsageError(
            f"{pcm.ms / 1000:g} s of sound are too little to follow a voice", where=where, fix="give 3 to 10 s"
        )


def _transcribe(
    pcm: Pcm, cut: Cut, transcript: str, listener: Listener, as_original: bool, where: str | None
) -> tuple[Pcm, str]:
    """Return what is left of a recording, and what is said in it."""
    if transcript and cut == "no":
        return pcm, transcript
    words = listener(pcm)
    if cut == "hard" and not as_original:
        pcm, words = end_at_a_word(pcm, words)
        pcm = trim_silence(pcm, threshold_db=EDGE_DB)
    heard = join_words(words)
    if not transcript:
        return pcm, heard
    try:
        return pcm, cut_transcript(transcript, heard)
    except UsageError as error:
        raise UsageError(
            f"the recording is cut after {MAX_MS // 1000} s, and {error.what}", where=where, fix=error.fix
        ) from None
