"""Speakers: from a recording, saved, random, or none. A converted folder keeps them as speakers/NAME.safetensors."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ...audio import wav
from ...audio.load import Audio
from ...audio.mel import hifigan_log_mel
from ...audio.resample import sinc_resample
from ...checkpoint import open_checkpoint
from ...errors import FormatError, UsageError
from ...weights.place import disk_errors
from .config import Parts
from .model import Model
from .prepared import FOLDER as PREPARED
from .prepared import Prepared
from .versions import VERSIONS
from .voice.campplus import speaker_features
from .voice.s3_tokenizer import tokenizer_features

FOLDER = "speakers"
ORIGINAL_MEL_RATE = 24000  # Hz
LISTENING_RATE = 16000  # Hz, of the input of CAM++ and of the speech tokenizer
MIN_PROMPT_S, MAX_PROMPT_S = 0.2, 30.0


@dataclass(frozen=True)
class Speaker:
    """A voice to speak with. Without a recording `speech_tokens` and `mel` are empty.

    prompt_text: the tokens of what the recording says, empty if that is unknown. prepared: what the networks compute of
    the recording alone, where it is kept.
    Shapes: embedding [1, 192], mel [1, 2 · speech_tokens, n_mels].
    """

    embedding: mx.array
    mel: mx.array
    speech_tokens: tuple[int, ...] = ()
    prompt_text: tuple[int, ...] = ()
    prepared: Prepared | None = field(default=None, compare=False, repr=False)

    def tokens(self) -> mx.array:
        """Return the speech tokens as an array. Shapes: -> [1, P] int32."""
        return mx.array(np.array(self.speech_tokens, np.int32)[None])

    def bare(self) -> "Speaker":
        """Return the same voice without its recording."""
        return Speaker(self.embedding, self.mel[:, :0])

    def arrays(self) -> dict[str, mx.array]:
        """Return the arrays of this speaker's file; empty ones are left out."""
        ids = {"prompt_text": self.prompt_text, "speech_tokens": self.speech_tokens}
        arrays = {name: mx.array(np.array(values, np.int32)) for name, values in ids.items() if values}
        return {"embedding": self.embedding, **arrays, **({"mel": self.mel} if self.mel.shape[1] else {})}


def no_speaker(config: Parts) -> Speaker:
    """Return a speaker whose embedding is zero."""
    return Speaker(mx.zeros((1, config.flow.speaker_dim)), mx.zeros((1, 0, config.mel.n_mels)))


def random_speaker(config: Parts, seed: int) -> Speaker:
    """Return a speaker with a random embedding; a seed always gives the same one."""
    embedding = mx.random.normal((1, config.flow.speaker_dim), key=mx.random.key(seed))
    return replace(no_speaker(config), embedding=embedding)


def speaker_from_embedding(config: Parts, embedding: np.ndarray | mx.array) -> Speaker:
    """Return the speaker with this embedding. Raises: UsageError if it has another size or is not finite."""
    array, size = mx.array(embedding).astype(mx.float32), config.flow.speaker_dim
    if array.size != size or not _finite(array):
        raise UsageError(f"a speaker's embedding is {size} finite numbers, found the shape {list(array.shape)}")
    return replace(no_speaker(config), embedding=array.reshape(1, size))


def speaker_from_recording(
    model: Model, audio: Audio, *, rate: int | None = None, as_original: bool = False
) -> Speaker:
    """Return the speaker of a recording: a file, the bytes of one, or samples at `rate` Hz (the model's by default).

    Tokens and mel are cut to the same length, but for version 1. as_original: with the mel of 24 kHz, as the original
    has it in every version, though the mel of version 1 is one of 22.05 kHz.
    Raises: UsageError under 0.2 s and over 30 s; FormatError for a file that is not audio, or samples that are not
    finite and mono.
    """
    samples, rate = read_samples(audio, rate or model.config.sample_rate)
    seconds = len(samples) / rate
    if not MIN_PROMPT_S <= seconds <= MAX_PROMPT_S:
        raise UsageError(
            f"the recording of the voice is {seconds:.1f} s long; give {MIN_PROMPT_S} to {MAX_PROMPT_S:.0f} s",
            where=audio if isinstance(audio, str | Path) else None,
            fix="cut out 3 to 10 s of clear speech",
        )
    config = model.config
    samples_16k = sinc_resample(samples, rate, LISTENING_RATE)
    mel = hifigan_log_mel(
        sinc_resample(samples, rate, ORIGINAL_MEL_RATE if as_original else config.sample_rate),
        sample_rate=config.sample_rate,
        n_fft=config.mel.n_fft,
        hop_length=config.mel.hop_length,
        n_mels=config.mel.n_mels,
        f_min=config.mel.f_min,
        f_max=config.mel.f_max,
    )[None]
    ids = tokenize_speech(model, samples_16k)
    n_frames, n_tokens = config.flow.align(mel.shape[1], len(ids))
    embedding = model.campplus(speaker_features(samples_16k)).astype(mx.float32)
    mx.eval(embedding)
    return Speaker(embedding, mel[:, :n_frames], tuple(ids[:n_tokens]))


def tokenize_speech(model: Model, samples: np.ndarray) -> list[int]:
    """Return the speech tokens of a recording of any length. Shapes: samples [L] at 16 kHz -> L // 640 ids."""
    dtype = model.speech_tokenizer.conv1.weight.dtype
    return np.array(model.speech_tokenizer(tokenizer_features(samples).astype(dtype))[0]).tolist()


def read_samples(audio: Audio, rate: int) -> tuple[np.ndarray, int]:
    """Return mono samples and their rate, which is `rate` for an array.

    Shapes: -> [L] float32. Raises: FormatError for a file that is not audio, or samples that are not finite and mono.
    """
    if not isinstance(audio, np.ndarray):
        return wav.read(audio)
    samples = np.asarray(audio, np.float32)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise FormatError(f"samples must be finite and of the shape [L], mono; found {list(samples.shape)}")
    return samples, rate


class Speakers:
    """The saved speakers of a folder, read when asked for; changes stay in memory until `save`."""

    def __init__(self, config: Parts, folder: Path | None) -> None:
        self._config, self._folder = config, folder
        self._added: dict[str, Speaker] = {}
        self._removed: set[str] = set()

    def names(self) -> list[str]:
        """Return the names of all speakers, sorted."""
        files = self._folder.glob("*.safetensors") if self._folder is not None and self._folder.is_dir() else ()
        return sorted(({file.stem for file in files} - self._removed) | self._added.keys())

    def __getitem__(self, name: str) -> Speaker:
        """Return a speaker.

        Raises: UsageError naming those that exist; FormatError for a malformed file, or a recording as another version
        hears it. An embedding alone is the same in all.
        """
        if name in self._added:
            return self._added[name]
        if name not in self.names():
            names = ", ".join(self.names()) or "none: add one from a recording, or take 'random' or 'none'"
            raise UsageError(f"there is no speaker '{name}'", fix=f"speakers: {names}")
        assert self._folder is not None
        path, prepared = self._paths(name)
        with open_checkpoint(path) as file:
            version = VERSIONS.get(str(file.extra.get("model_type")), self._config.version)
            if version is not self._config.version and set(file) != {"embedding"}:
                what = f"this is a speaker of {version.name}, not of {self._config.version.name}"
                raise FormatError(what, where=path, fix="add the speaker to this model from the recording")
            speaker = speaker_from_arrays(file, self._config, path)
        return replace(speaker, prepared=Prepared(prepared)) if prepared.is_file() else speaker

    def add(self, name: str, speaker: Speaker) -> None:
        """Add a speaker, or replace one. Raises: UsageError if the name cannot be a file's."""
        if not name or name.startswith(".") or any(c in "/\\:\0" or ord(c) < 32 for c in name) or len(name) > 100:
            raise UsageError(f"{name!r} cannot be a speaker's name", fix="use letters, digits, - and _")
        self._added[name] = speaker
        self._removed.discard(name)

    def remove(self, name: str) -> None:
        """Remove a speaker. Raises: UsageError if there is none of this name; FormatError if its file is malformed."""
        self[name]
        self._added.pop(name, None)
        self._removed.add(name)

    def about(self, name: str) -> dict[str, Any]:
        """Return the length of the speaker's recording, and whether its transcript is known."""
        speaker = self[name]
        seconds = speaker.mel.shape[1] * self._config.mel.hop_length / self._config.sample_rate
        about = {"recording_s": round(seconds, 2), "transcript": bool(speaker.prompt_text)}
        return about | ({"prepared_mb": round(speaker.prepared.nbytes() / 1e6, 1)} if speaker.prepared else {})

    def save(self) -> None:
        """Write the added speakers and delete the removed ones.

        Raises: UsageError if there is no converted folder; MachineError if the disk refuses.
        """
        if self._folder is None:
            raise UsageError("there is no converted folder to save speakers in", fix="convert the checkpoint first")
        size = sum(speaker.prepared.nbytes() for speaker in self._added.values() if speaker.prepared)
        with disk_errors(self._folder, size + (1 << 20)):
            self._folder.mkdir(exist_ok=True)
            for name, speaker in self._added.items():
                path, prepared = self._paths(name)
                new, new_prepared = (where.with_name(f".{name}.new") for where in (path, prepared))
                with new.open("wb") as file:
                    about = {"format": "mlx", "model_type": self._config.version.model_type}
                    mx.save_safetensors(file, speaker.arrays(), about)
                if speaker.prepared:
                    speaker.prepared.write(new_prepared)
                prepared.unlink(missing_ok=True)
                os.replace(new, path)
                if speaker.prepared:
                    os.replace(new_prepared, prepared)
            for path in (path for name in self._removed for path in self._paths(name)):
                path.unlink(missing_ok=True)
        self._added, self._removed = {}, set()

    def _paths(self, name: str) -> tuple[Path, Path]:
        """Return where a speaker is, and what is prepared for it."""
        assert self._folder is not None
        return tuple(folder / f"{name}.safetensors" for folder in (self._folder, self._folder / PREPARED))  # type: ignore[return-value]


def speaker_from_arrays(arrays: Mapping[str, mx.array], config: Parts, where: str | Path) -> Speaker:
    """Return the speaker whose file holds these arrays. Raises: FormatError that lists every problem."""
    empty = no_speaker(config)
    limits = {"prompt_text": config.lm.vocab_size, "speech_tokens": config.lm.speech_token_size}
    problems = [f"unexpected: {name}" for name in sorted(arrays.keys() - {*limits, "embedding", "mel"})]
    embedding, mel = (arrays.get(name, getattr(empty, name)) for name in ("embedding", "mel"))
    if "embedding" not in arrays or embedding.size != config.flow.speaker_dim or not _finite(embedding):
        problems.append(f"embedding is not {config.flow.speaker_dim} finite numbers")
    if mel.ndim != 3 or mel.shape[0] != 1 or mel.shape[-1] != config.mel.n_mels or not _finite(mel):
        problems.append(f"mel is not of the shape [1, frames, {config.mel.n_mels}] and finite")
    ids = {}
    for name, limit in limits.items():
        ids[name] = tuple(np.array(arrays[name]).ravel().tolist()) if name in arrays else ()
        if any(type(i) is not int or not 0 <= i < limit for i in ids[name]):
            problems.append(f"{name} holds something other than ids from 0 to {limit - 1}")
    if problems:
        raise FormatError("not a speaker of this model", where=where, fix="add the speaker again", details=problems)
    return Speaker(embedding.astype(mx.float32).reshape(1, -1), mel.astype(mx.float32), **ids)


def _finite(array: mx.array) -> bool:
    return bool(mx.isfinite(array).all())
