"""Texts for several voices, and the TOML file that names them."""

import pytest

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.f5tts.script import Speaker, read_voices, split_by_voice

STORY = 'He said [town] "Poor friend." [main] So he left. [country] "Bye," [other] and [note 1] was gone.'


def test_a_tag_changes_the_voice_until_the_next():
    assert split_by_voice(STORY, ["town", "country"]) == [
        ("main", "He said"),
        ("town", '"Poor friend."'),
        ("main", "So he left."),
        ("country", '"Bye," [other] and [note 1] was gone.'),
    ]


def test_as_original_every_word_in_brackets_is_a_tag():
    assert split_by_voice(STORY, ["town", "country"], as_original=True) == [
        ("main", "He said"),
        ("town", '"Poor friend."'),
        ("main", "So he left."),
        ("country", '"Bye,"'),
        ("main", "and [note 1] was gone."),
    ]


@pytest.mark.parametrize("as_original", [False, True])
def test_a_voice_without_words_says_nothing(as_original):
    assert split_by_voice("[town] [main] Hi. [城市] ", ["town", "城市"], as_original=as_original) == [("main", "Hi.")]


def test_the_originals_file_is_read(tmp_path):
    (tmp_path / "town.wav").write_bytes(b"")
    (tmp_path / "story.txt").write_text("Hello.")
    (tmp_path / "story.toml").write_text(
        """
        model = "F5TTS_v1_Base"
        ref_audio = "main.flac"
        ref_text = ""
        gen_text = ""
        gen_file = "story.txt"
        remove_silence = true
        output_dir = "tests"
        nfe_step = 16
        [voices.town]
        ref_audio = "town.wav"
        ref_text = "Hello."
        speed = 0.8
        [voices.main]
        ref_audio = "another.wav"
        """
    )
    file = read_voices(tmp_path / "story.toml")
    assert file.voices == {
        "town": Speaker(str(tmp_path / "town.wav"), "Hello.", 0.8),
        "main": Speaker("main.flac"),
    }
    assert (file.text, file.text_file) == (None, tmp_path / "story.txt")
    assert file.settings == {"remove_silence": True, "steps": 16}
    assert file.unused == ("model", "output_dir")


def test_every_problem_of_a_file_is_listed(tmp_path):
    (tmp_path / "a.toml").write_text(
        """
        ref_audio = 3
        speed = "fast"
        nfe_step = 1.5
        remove_silence = 1
        colour = "blue"
        [voices]
        one = 1
        [voices.two]
        speed = true
        pitch = 2
        [voices."a b"]
        ref_audio = "a.wav"
        """
    )
    with pytest.raises(FormatError) as caught:
        read_voices(tmp_path / "a.toml")
    assert set(caught.value.details) == {
        "ref_audio is not a text",
        "speed is not a number",
        "nfe_step is not a number",
        "remove_silence is not a number",
        "unexpected: colour",
        "[voices.main] has no ref_audio",
        "[voices.one] is not a table",
        "[voices.two] has no ref_audio",
        "[voices.two] has a speed that is not a number",
        "[voices.two] has an unexpected pitch",
        "[voices.a b] the name has other characters than letters, digits and _, so that no tag can name it",
    }


@pytest.mark.parametrize(
    ("data", "problem"), [(b"a = ", "not TOML"), (b"\xff", "not TOML"), (b"#" * (1 << 20) + b"##", "over 1,048,576")]
)
def test_what_is_no_file_of_voices_is_refused(data, problem, tmp_path):
    (tmp_path / "a.toml").write_bytes(data)
    with pytest.raises(FormatError, match=problem):
        read_voices(tmp_path / "a.toml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_voices(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text("voices = 3")
    with pytest.raises(FormatError, match="not a file of voices"):
        read_voices(tmp_path / "b.toml")


def test_the_originals_own_recordings_are_found_in_its_package(tmp_path, monkeypatch):
    (tmp_path / "f5_tts" / "infer").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a.toml").write_text('ref_audio = "infer/examples/multi/main.flac"')
    expected = str(tmp_path / "f5_tts" / "infer/examples/multi/main.flac")
    assert read_voices(tmp_path / "a.toml").voices["main"].ref_audio == expected
