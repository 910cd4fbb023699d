"""What training reads, holds out and mixes; that it learns is tested in test_wakeword.py."""

import numpy as np
import pytest
from mlx.utils import tree_flatten

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.wakeword.config import Keyword
from pytorch_to_mlx.models.wakeword.model import Classifier
from pytorch_to_mlx.models.wakeword.train import (
    Examples,
    audio_files,
    augment,
    background,
    hold_out,
    init_weights,
    segments,
    trim_silence,
)


def tone(seconds):
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 16000)) / 16000)).astype(np.float32)


def test_silence_around_the_word_is_trimmed(tmp_path):
    silence = np.zeros(8000, np.float32)
    path = wav.write(tmp_path / "a.wav", np.concatenate([silence, tone(0.5), silence]), 16000)
    word = trim_silence(path)
    assert abs(len(word) - 8000) <= 160 and np.abs(word).max() == pytest.approx(0.3 * 32768, rel=0.01)


@pytest.mark.parametrize(
    ("audio", "message"), [(np.zeros(8000), "silent"), (tone(3.5), "3.5 s")], ids=["silent", "long"]
)
def test_clips_without_a_word(tmp_path, audio, message):
    with pytest.raises(FormatError, match=message):
        trim_silence(wav.write(tmp_path / "a.wav", audio, 16000))


@pytest.mark.parametrize(("seconds", "expected"), [(25.4, [10, 10, 5.4]), (10.3, [10]), (0.4, [])])
def test_recordings_are_cut_into_segments(tmp_path, seconds, expected):
    path = wav.write(tmp_path / "a.wav", tone(seconds), 16000)
    assert [len(segment) / 16000 for segment in segments(path)] == pytest.approx(expected)


def test_audio_files_of_subfolders(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/one.wav", "a.WAV", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in audio_files(tmp_path)] == ["a.WAV", "one.wav"]
    for wrong in (tmp_path / "none", tmp_path / "notes.txt"):
        with pytest.raises(UsageError, match="no such folder"):
            audio_files(wrong)


@pytest.mark.parametrize(("count", "expected"), [(10, 2), (5, 1), (2, 1)])
def test_a_fifth_is_held_out(count, expected):
    items = [np.array([i]) for i in range(count)]
    test, rest = hold_out(items, np.random.default_rng(0))
    assert len(test) == expected and sorted(int(item[0]) for item in [*test, *rest]) == list(range(count))
    again, _ = hold_out(items, np.random.default_rng(0))
    assert [int(item[0]) for item in again] == [int(item[0]) for item in test]


def test_examples_are_frames_with_a_whole_window_before_them():
    examples = Examples(None, num_frames=3)
    positive, negative = np.array([1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 1, 1], bool)
    for _ in range(2):
        examples.add(np.zeros((5, 2)), positive=positive, negative=negative)
    assert np.concatenate(examples.ends[True]).tolist() == [2, 7]
    assert np.concatenate(examples.ends[False]).tolist() == [3, 4, 8, 9]


def test_backgrounds_stay_under_the_word():
    """Noise and other sound at 5 to 25 dB under it, to the rounding of a random level; silence is under 10 of 32768."""
    random, word = np.random.default_rng(0), 10_000 * tone(0.5)
    levels = []
    for _ in range(200):
        sound = background(8000, word, [3000 * tone(1.0)], random)
        levels.append(np.sqrt(np.mean(np.square(sound))) / np.sqrt(np.mean(np.square(word))))
    loud = [level for level in levels if level > 10**-1.5]
    assert max(levels) < 10 ** (-4.8 / 20) and 60 < len(loud) < 140
    assert np.abs(augment(40_000 * tone(0.1), [tone(1.0)], random)).max() <= 32768


def test_weights_are_drawn_from_the_seed():
    keyword = Keyword("mine", num_frames=2, hidden_sizes=(4,), layer_norm=True, labels=("mine",))
    first, again, other = (
        dict(tree_flatten(init_weights(Classifier(keyword, 3), np.random.default_rng(seed)).parameters()))
        for seed in (0, 0, 1)
    )
    matrix = np.array(first["dense.linears.0.weight"])
    assert np.array_equal(matrix, np.array(again["dense.linears.0.weight"]))
    assert not np.array_equal(matrix, np.array(other["dense.linears.0.weight"]))
    assert np.abs(matrix).max() <= 1 / np.sqrt(6) and not np.array(first["dense.linears.0.bias"]).any()
    assert (np.array(first["dense.norms.0.weight"]) == 1).all()
