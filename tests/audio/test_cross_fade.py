import numpy as np
import pytest

from pytorch_to_mlx.audio.cross_fade import CrossFade


def join(pieces, length):
    fade = CrossFade(length)
    return [fade.feed(piece, is_last=i == len(pieces) - 1) for i, piece in enumerate(pieces)]


def joined_at_once(pieces, length):
    """Fade the next piece into all audio until there, as f5-tts's infer_batch_process does."""
    whole = pieces[0]
    for piece in pieces[1:]:
        n = min(length, len(whole), len(piece))
        middle = whole[len(whole) - n :] * np.linspace(1, 0, n) + piece[:n] * np.linspace(0, 1, n)
        whole = np.concatenate([whole[: len(whole) - n], middle, piece[n:]])
    return whole


@pytest.mark.parametrize("lengths", [[50], [50, 60, 70], [50, 3, 60], [2, 4, 6, 8], [50, 0, 9], [100, 10, 10, 10]])
@pytest.mark.parametrize("length", [0, 1, 10])
def test_pieces_are_joined_as_the_whole_is(lengths, length):
    draw = np.random.default_rng(0)
    pieces = [draw.standard_normal(n).astype(np.float32) for n in lengths]
    parts = join(pieces, length)
    assert np.array_equal(np.concatenate(parts), joined_at_once(pieces, length).astype(np.float32))
    assert len(parts[0]) == lengths[0] - (length if len(lengths) > 1 else 0) or lengths[0] < length
    assert all(part.dtype == np.float32 for part in parts)


def test_audio_starts_anew_after_the_last_piece():
    fade = CrossFade(5)
    assert len(fade.feed(np.ones(20, np.float32), is_last=True)) == 20
    assert fade.feed(np.ones(20, np.float32), is_last=True).tolist() == [1.0] * 20
