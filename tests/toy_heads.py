"""A made-up trunk's features and labels that can be learnt in seconds, for the tests of heads."""

from pathlib import Path

import numpy as np

from pytorch_to_mlx.heads.cache import FeatureCache, Form
from pytorch_to_mlx.heads.card import head_card
from pytorch_to_mlx.heads.config import Config
from pytorch_to_mlx.heads.examples import make_examples, make_outputs
from pytorch_to_mlx.heads.manifest import Clip

TRUNK = "f" * 64
WIDTH = 16
LETTERS = "abcde"


def toy_clip(number, split):
    """A clip whose text, label, F0 and spans follow from its number."""
    random = np.random.default_rng(number)
    text = "".join(random.choice(list(LETTERS), random.integers(2, 6)))
    f0 = tuple(float(110 * (1 + LETTERS.index(letter) / 5)) for letter in text for _ in range(4))
    middle = 0.08 * (len(text) // 2)
    return Clip(
        id=f"clip{number}", audio=Path("none.wav"), line=number, text=text, phonemes=tuple(text),
        labels={"language": "en" if "a" in text else "ru"},
        spans={"singing": ((0.0, middle, "speech"), (middle, 9.0, "singing"))},
        f0=f0, speaker=f"s{number % 4}{split}", source="toy", split=split, sample_rate=None,
    )  # fmt: skip


def toy_features(clip):
    """Four frames of each letter: its code, louder in the first of the four; that of the second half; and noise."""
    random = np.random.default_rng(clip.line)
    codes = np.random.default_rng(99).standard_normal((len(LETTERS) + 1, WIDTH))
    frames = [codes[LETTERS.index(letter)] * (2 if n == 0 else 1) for letter in clip.text for n in range(4)]
    half = np.arange(len(frames))[:, None] >= 4 * (len(clip.text) // 2)
    frames = np.array(frames) + 0.1 * random.standard_normal((len(frames), WIDTH)) + half * codes[-1]
    return frames[:, None]


def toy_data(folder, head="ctc", n_train=60, n_dev=12):
    """Return the config, the training and the development examples, and the cache of a toy head."""
    clips = [toy_clip(n, "train" if n < n_train else "dev") for n in range(n_train + n_dev)]
    cache = FeatureCache(folder, Form(TRUNK, (0,), WIDTH))
    for clip in clips:
        if clip.id not in cache:
            cache.add(clip.id, toy_features(clip), 0.08 * len(clip.text))
    train = [clip for clip in clips if clip.split == "train"]
    config = Config(TRUNK, WIDTH, (0,), 24, 1, make_outputs(head_card(head).questions, train, 12))
    keys = {clip.id: clip.id for clip in clips}
    examples, problems = make_examples(clips, keys, cache, config)
    assert problems == []
    return config, examples[:n_train], examples[n_train:], cache
