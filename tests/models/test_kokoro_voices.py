"""Voices: all 54 named, every format the same numbers, blends as the reference's, errors that name the near ones."""

import numpy as np
import pytest

from pytorch_to_mlx.errors import FormatError, UnsafeError, UsageError
from pytorch_to_mlx.models.kokoro.voices import RELEASED, SHIPPED, Voice, Voices, extra_files, parse_blend


def rows(seed=0, width=256):
    return np.random.default_rng(seed).standard_normal((510, 1, width)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """One voice in each format, and a second one."""
    import mlx.core as mx
    import torch

    voices = tmp_path / "voices"
    voices.mkdir()
    torch.save(torch.from_numpy(rows(0)), voices / "af_torch.pt")
    rows(0).tofile(voices / "af_raw.bin")
    np.save(voices / "af_numpy.npy", rows(0))
    mx.save_safetensors(str(voices / "af_mlx.safetensors"), {"voice": mx.array(rows(0))})
    rows(1).tofile(voices / "bm_second.bin")
    return tmp_path


def test_the_54_released_voices_say_language_and_gender():
    assert len(RELEASED) == len(set(RELEASED)) == 54
    described = [Voice.of(name) for name in RELEASED]
    assert all(voice.lang_code and voice.language and voice.gender for voice in described)
    assert Voice.of("bm_george") == Voice("bm_george", "b", "British English", "male")
    assert Voice.of("zf_xiaobei").language == "Mandarin Chinese"
    assert Voice.of("my_own") == Voice("my_own")


def test_every_format_gives_the_same_numbers(folder):
    voices = Voices.beside(folder)
    assert voices.names() == ["af_mlx", "af_numpy", "af_raw", "af_torch", "bm_second"]
    for name in voices.names()[:4]:
        np.testing.assert_array_equal(voices(name), rows(0)[:, 0])


def test_an_archive_of_voices(tmp_path):
    np.savez(tmp_path / "voices_ja.npz", jf_a=rows(0), jm_b=rows(1))
    voices = Voices.beside(tmp_path)
    assert voices.names() == ["jf_a", "jm_b"]
    np.testing.assert_array_equal(voices("jm_b"), rows(1)[:, 0])


def test_a_voice_file_by_its_path(folder, tmp_path):
    rows(7).tofile(tmp_path / "my own.bin")
    np.testing.assert_array_equal(Voices.beside(folder)(str(tmp_path / "my own.bin")), rows(7)[:, 0])
    assert "my own" in Voices(tmp_path / "my own.bin").names()


def test_blends(folder):
    voices = Voices.beside(folder)
    first, second = voices("af_raw"), voices("bm_second")
    np.testing.assert_allclose(voices("af_raw:0.6+bm_second:0.4"), 0.6 * first + 0.4 * second, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(voices("af_raw:3+bm_second:1"), 0.75 * first + 0.25 * second)
    for same in ("af_raw,bm_second", "af_raw+bm_second", " af_raw , bm_second "):
        np.testing.assert_array_equal(voices(same), (first + second) / 2)


def test_the_mean_is_the_references(folder):
    """KPipeline.load_voice("a,b") is torch.mean(torch.stack([a, b]), dim=0)."""
    import torch

    stacked = torch.stack([torch.from_numpy(rows(0)), torch.from_numpy(rows(1))])
    expected = torch.mean(stacked, dim=0).numpy()[:, 0]
    np.testing.assert_array_equal(Voices.beside(folder)("af_torch,bm_second"), expected)


@pytest.mark.parametrize(
    "spec",
    ["", "+", "af_raw+", "af_raw:0.5+bm_second", "af_raw:x", "af_raw:nan", "af_raw:-1+bm_second:2", "af_raw:0",
     "af_raw:inf", ":1"],
)  # fmt: skip
def test_bad_blends(folder, spec):
    with pytest.raises(UsageError):
        Voices.beside(folder)(spec)


def test_shares_add_up_to_one():
    assert parse_blend("a:2+b:3+c:5") == [("a", 0.2), ("b", 0.3), ("c", 0.5)]


def test_an_unknown_voice_names_the_near_ones(folder):
    with pytest.raises(UsageError, match="did you mean af_torch"):
        Voices.beside(folder)("af_torhc")
    with pytest.raises(UsageError, match="--voices packaged:kokoro-voices"):
        Voices.beside(folder)("bf_emma")
    with pytest.raises(UsageError, match="voices: af_mlx, af_numpy"):
        Voices.beside(folder)("????")
    with pytest.raises(UsageError):
        Voices.beside(folder)("../../../etc/passwd")
    with pytest.raises(UsageError):
        Voices.beside(folder)("missing.pt")


def test_two_english_voices_are_shipped_with_notice(tmp_path):
    voices = Voices.beside(tmp_path)
    assert voices.names() == ["af_heart", "am_michael"]
    assert voices("af_heart").shape == (510, 256)
    assert not np.array_equal(voices("af_heart"), voices("am_michael"))
    notice = (SHIPPED / "NOTICE").read_text()
    assert "Apache License" in notice and "hexgrad/Kokoro-82M" in notice


def test_a_models_own_voices_hide_the_shipped_ones(folder):
    with pytest.raises(UsageError):
        Voices.beside(folder)("af_heart")


def test_converted_folders_get_every_voice(folder):
    written = extra_files(folder)
    assert sorted(written) == [f"voices/{name}.safetensors" for name in Voices.beside(folder).names()]
    tensor = written["voices/af_torch.safetensors"]["voice"]
    assert tensor.shape == (510, 1, 256)
    np.testing.assert_array_equal(np.array(tensor), rows(0))


def _unsafe(path):
    import pickle

    class Run:
        def __reduce__(self):
            import os

            return os.system, (f"touch {path}.ran",)

    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Run(), protocol=2))
        archive.writestr("archive/byteorder", "little")


@pytest.mark.parametrize(
    ("name", "write", "error"),
    [
        ("short.bin", lambda path: rows(0)[:509].tofile(path), FormatError),
        ("empty.bin", lambda path: path.write_bytes(b""), FormatError),
        ("text.bin", lambda path: path.write_bytes(b"<html>"), FormatError),
        ("nan.bin", lambda path: (rows(0) * np.nan).tofile(path), FormatError),
        ("wrong.npy", lambda path: np.save(path, np.zeros((510, 2, 256), np.float32)), FormatError),
        ("empty.pt", lambda path: path.write_bytes(b""), FormatError),
        ("unsafe.pt", _unsafe, UnsafeError),
        ("object.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), UnsafeError),
        ("cut.safetensors", lambda path: path.write_bytes(b"\x10\0\0\0\0\0\0\0{"), FormatError),
    ],
)
def test_malformed_voices(tmp_path, name, write, error):
    path = tmp_path / name
    write(path)
    with pytest.raises(error) as caught:
        Voices(path)(path.stem)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / f"{name}.ran").exists()


def test_a_source_without_voices(tmp_path):
    (tmp_path / "voices.txt").write_text("")
    with pytest.raises(UsageError, match="holds no voices"):
        Voices(tmp_path / "voices.txt")
