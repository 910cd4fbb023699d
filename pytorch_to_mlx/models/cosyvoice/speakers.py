"""Voices: from a recording, saved, random, or none. A saved one is speakers/NAME.safetensors in a converted folder."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from .config import Config
from .model import Model
from .voice.campplus import speaker_features
from .voice.s3_tokenizer import tokenizer_features

FOLDER = "speakers"
HEARD_RATE = 16000  # that CAM++ and the speech tokenizer hear at
MIN_PROMPT_S, MAX_PROMPT_S = 0.2, 30.0


@dataclass(frozen=True)
class Speaker:
    """Whom to sound like. Without a recording `speech_tokens` and `mel` are empty.

    Shapes: embedding [1, 192], mel [1, 2 · speech_tokens, n_mels]. prompt_text: tokens of what the recording says.
    """

    embedding: mx.array
    mel: mx.array
    speech_tokens: tuple[int, ...] = ()
    prompt_text: tuple[int, ...] = ()

    def tokens(self) -> mx.array:
        """Shapes: -> [1, P] int32."""
        return mx.array(np.array(self.speech_tokens, np.int32)[None])

    def arrays(self) -> dict[str, mx.array]:
        """What a file of this speaker holds."""
        ids = {"prompt_text": self.prompt_text, "speech_tokens": self.speech_tokens}
        arrays = {name: mx.array(np.array(values, np.int32)) for name, values in ids.items() if values}
        return {"embedding": self.embedding, **arrays, **({"mel": self.mel} if self.mel.shape[1] else {})}


def no_speaker(config: Config) -> Speaker:
    """Nobody's voice: what the model makes of zeros."""
    return Speaker(mx.zeros((1, config.flow.speaker_dim)), mx.zeros((1, 0, config.mel.n_mels)))


def random_speaker(config: Config, seed: int) -> Speaker:
    """Somebody's voice; the same seed, the same voice."""
    embedding = mx.random.normal((1, config.flow.speaker_dim), key=mx.random.key(seed))
    return replace(no_speaker(config), embedding=embedding)


def embedded_speaker(config: Config, embedding: np.ndarray | mx.array) -> Speaker:
    """The voice with this embedding. Raises: UsageError for another size."""
    given, size = mx.array(embedding).astype(mx.float32), config.flow.speaker_dim
    if given.size != size or not bool(mx.isfinite(given).all()):
        raise UsageError(f"a speaker's embedding is {size} finite numbers, found the shape {list(given.shape)}")
    return replace(no_speaker(config), embedding=given.reshape(1, size))


def recorded_speaker(model: Model, audio: Audio, *, rate: int | None = None) -> Speaker:
    """The voice of a recording: a file, the bytes of one, or samples at `rate` Hz (24000 by default).

    Tokens and mel are cut to the same length. Raises: UsageError under 0.2 s and over 30 s.
    """
    samples, rate = samples_of(audio, rate or model.config.sample_rate)
    seconds = len(samples) / rate
    if not MIN_PROMPT_S <= seconds <= MAX_PROMPT_S:
        raise UsageError(
            f"the voice's recording takes {seconds:.1f} s; it may take {MIN_PROMPT_S} to {MAX_PROMPT_S:.0f} s",
            where=audio if isinstance(audio, str | Path) else None,
            fix="cut out 3 to 10 s of clear speech",
        )
    config = model.config
    heard = sinc_resample(samples, rate, HEARD_RATE)
    mel = hifigan_log_mel(
        sinc_resample(samples, rate, config.sample_rate),
        sample_rate=config.sample_rate,
        n_fft=config.mel.n_fft,
        hop_length=config.mel.hop_length,
        n_mels=config.mel.n_mels,
        f_min=config.mel.f_min,
        f_max=config.mel.f_max,
    )[None]
    ids = speech_ids(model, heard)
    ratio = config.flow.token_mel_ratio
    length = min(mel.shape[1] // ratio, len(ids))
    embedding = model.campplus(speaker_features(heard)).astype(mx.float32)
    mx.eval(embedding)
    return Speaker(embedding, mel[:, : ratio * length], tuple(ids[:length]))


def speech_ids(model: Model, heard: np.ndarray) -> list[int]:
    """The speech tokens of a recording of any length. Shapes: heard [L] at 16 kHz -> L // 640 ids."""
    dtype = model.speech_tokenizer.conv1.weight.dtype
    return np.array(model.speech_tokenizer(tokenizer_features(heard).astype(dtype))[0]).tolist()


def samples_of(audio: Audio, rate: int) -> tuple[np.ndarray, int]:
    """Mono samples and their rate. Raises: FormatError for what is not sound audio."""
    if not isinstance(audio, np.ndarray):
        return wav.read(audio)
    samples = np.asarray(audio, np.float32)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise FormatError(f"samples must be finite and of the shape [L], mono; found {list(samples.shape)}")
    return samples, rate


class Speakers:
    """The saved speakers of a folder, read when asked for; added ones live in memory until `save`."""

    def __init__(self, config: Config, folder: Path | None) -> None:
        self._config, self._folder = config, folder
        self._added: dict[str, Speaker] = {}
        self._removed: set[str] = set()

    def names(self) -> list[str]:
        files = self._folder.glob("*.safetensors") if self._folder is not None and self._folder.is_dir() else ()
        return sorted(({file.stem for file in files} - self._removed) | self._added.keys())

    def __getitem__(self, name: str) -> Speaker:
        """Raises: UsageError naming the ones there are; FormatError for a malformed file."""
        if name in self._added:
            return self._added[name]
        if name not in self.names():
            known = ", ".join(self.names()) or "none: add one from a recording, or take 'random' or 'none'"
            raise UsageError(f"there is no speaker '{name}'", fix=f"speakers: {known}")
        assert self._folder is not None
        path = self._folder / f"{name}.safetensors"
        with open_checkpoint(path) as file:
            return speaker_of(file, self._config, path)

    def add(self, name: str, speaker: Speaker) -> None:
        """Raises: UsageError for a name that cannot be a file's."""
        if not name or name.startswith(".") or any(c in "/\\:\0" or ord(c) < 32 for c in name) or len(name) > 100:
            raise UsageError(f"{name!r} cannot be a speaker's name", fix="take letters, digits, - and _")
        self._added[name] = speaker
        self._removed.discard(name)

    def remove(self, name: str) -> None:
        """Raises: UsageError if there is none of this name."""
        self[name]
        self._added.pop(name, None)
        self._removed.add(name)

    def about(self, name: str) -> dict[str, Any]:
        """Whether there is a recording behind the voice, and what it says, so that it can be gone on from."""
        speaker = self[name]
        seconds = speaker.mel.shape[1] * self._config.mel.hop_length / self._config.sample_rate
        return {"recording_s": round(seconds, 2), "transcript": bool(speaker.prompt_text)}

    def save(self) -> None:
        """Write what was added and delete what was removed. Raises: MachineError if the disk will not."""
        if self._folder is None:
            raise UsageError("there is no converted folder to save speakers in", fix="convert the checkpoint first")
        with disk_errors(self._folder, 1 << 20):
            self._folder.mkdir(exist_ok=True)
            for name, speaker in self._added.items():
                path = self._folder / f"{name}.safetensors"
                new = path.with_name(f".{name}.new")
                with new.open("wb") as file:
                    mx.save_safetensors(file, speaker.arrays(), {"format": "mlx"})
                os.replace(new, path)
            for name in self._removed:
                (self._folder / f"{name}.safetensors").unlink(missing_ok=True)
        self._added, self._removed = {}, set()


def speaker_of(arrays: Mapping[str, mx.array], config: Config, where: str | Path) -> Speaker:
    """The speaker that `Speaker.arrays` gave. Raises: FormatError that lists every problem."""
    nobody = no_speaker(config)
    tops = {"prompt_text": config.lm.vocab_size, "speech_tokens": config.lm.speech_token_size}
    problems = [f"unexpected: {name}" for name in sorted(arrays.keys() - {*tops, "embedding", "mel"})]
    embedding, mel = (arrays.get(name, getattr(nobody, name)) for name in ("embedding", "mel"))
    if "embedding" not in arrays or embedding.size != config.flow.speaker_dim or not _finite(embedding):
        problems.append(f"embedding is not {config.flow.speaker_dim} finite numbers")
    if mel.ndim != 3 or mel.shape[0] != 1 or mel.shape[-1] != config.mel.n_mels or not _finite(mel):
        problems.append(f"mel is not of the shape [1, frames, {config.mel.n_mels}] and finite")
    ids = {}
    for name, top in tops.items():
        ids[name] = tuple(np.array(arrays[name]).ravel().tolist()) if name in arrays else ()
        if any(type(i) is not int or not 0 <= i < top for i in ids[name]):
            problems.append(f"{name} holds what is no id from 0 to {top - 1}")
    if problems:
        fix = "add the speaker again"
        raise FormatError("this is no speaker of this model", where=where, fix=fix, details=problems)
    return Speaker(embedding.astype(mx.float32).reshape(1, -1), mel.astype(mx.float32), **ids)


def _finite(array: mx.array) -> bool:
    return bool(mx.isfinite(array).all())
