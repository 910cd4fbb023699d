"""Recordings to features of the trunk, in the cache; what cannot be used is listed by name."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..audio import wav
from ..checkpoint.files import SourceFile
from ..errors import FormatError, MachineError, UsageError
from ..progress import track
from .cache import FeatureCache, Form
from .manifest import Clip

FRAME_S = 0.02
MIN_S = 0.1
MIN_RATE = 8000


class Trunk(Protocol):
    """A frozen encoder. depth: its last layer; 0 is the convolutions. max_s: the longest clip that it takes."""

    sample_rate: int
    width: int
    depth: int
    max_s: float

    @property
    def digest(self) -> str:
        """Return the sha256 of its weights."""
        ...

    def encode(self, samples: np.ndarray, layers: Sequence[int]) -> np.ndarray:
        """Return normalised layers at the clip's own length. Shapes: samples [L] -> [T, layers, width]."""
        ...


def form_of(trunk: Trunk, layers: Sequence[int]) -> Form:
    """Return the form of features that a trunk gives."""
    return Form(trunk.digest, tuple(layers), trunk.width)


def add_features(clips: Sequence[Clip], trunk: Trunk, cache: FeatureCache) -> tuple[dict[str, str], list[str]]:
    """Compute what the cache lacks; return the sha256 of each recording by clip, and what is wrong with the others."""
    keys: dict[str, str] = {}
    problems: list[str] = []
    for clip in track(clips, "computing features", len(clips)):
        try:
            _check_rate(clip)
            with SourceFile(clip.audio) as file:
                key = file.sha256()
            if key not in cache:
                samples, rate = wav.read(clip.audio, sample_rate=trunk.sample_rate, max_seconds=trunk.max_s)
                if len(samples) < MIN_S * rate:
                    raise FormatError(f"{len(samples) / rate:.3f} s long, at least {MIN_S} s are needed")
                cache.add(key, trunk.encode(samples, cache.form.layers), len(samples) / rate)
        except (FormatError, UsageError) as error:
            problems.append(f"{clip.place}: {error.what}")
            continue
        except MachineError as error:
            if error.where != str(clip.audio):  # the disk of the cache, not the recording
                raise
            problems.append(f"{clip.place}: {error.what}")
            continue
        keys[clip.id] = key
    return keys, problems


def _check_rate(clip: Clip) -> None:
    """Raises: FormatError for a recording that is not at the rate its line gives, or that is too low for speech."""
    with wav.reader(clip.audio) as (rate, _):
        if clip.sample_rate not in (None, rate):
            raise FormatError(f"recorded at {rate} Hz, the manifest says {clip.sample_rate}")
        if rate < MIN_RATE:
            raise FormatError(f"recorded at {rate} Hz, at least {MIN_RATE} are needed")
