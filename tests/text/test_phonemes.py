"""Our phonemes are the reference's: kokoro's own KPipeline (the same misaki) beside ours, language by language."""

import random
import sys
import time

import pytest
from kpipeline import kpipeline_class

from pytorch_to_mlx.errors import FormatError, MissingExtraError, UsageError
from pytorch_to_mlx.text import phonemes
from pytorch_to_mlx.text.phonemes import LANGUAGES, language, phonemize
from pytorch_to_mlx.text.split import Token, join, split_tokens

ENGLISH = [
    "Hello, world! This is PyTorch to MLX.",
    "The quick brown fox jumps over the lazy dog.",
    "It cost $12.50 on 3/4/2021, i.e. 1,234.5 euros.",
    "Dr. Smith lives at 221B Baker St., doesn't he?",
    "[Kokoro](/kˈOkəɹO/) is a [model](+2), not a [toy](-1)!",
    "In 1984, the 2nd of 50's best songs reached 99.9% of the U.S.A.",
    "He said: “I read the book that you read yesterday” (and left) — dash -- x/y @you #tag 100%.",
    "I used to live near the Massachusetts Institute of Technology; I used it.",
    "Xylophrastic qwizzlement outofdictionary words are handled by eSpeak.",
    "Temperatures fell to -5 degrees at 10:30 p.m., or 22:30.",
    "don't 'tis y'all's o'clock rock 'n' roll",
    "Call 555-1234, ext. 42, or e-mail me@example.com.",
    "HTML, GPU, iPhone, macOS, McDonald's, GitHub, NumPy and SciPy.",
    "Résumé café naïve Zürich.",
    "One?! Two... Three… four—five; six: seven!",
    "She wound the bandage round the wound; the lead was made of lead.",
    "€3.99, £10, $0.05, $1,000,000",
    "A 3-year-old 4x4 at 60mph, 5kg, 1.5GHz",
    "THE END OF THE WORLD IS NIGH",
    "²½ ⅓ 10^-5",
    "a",
    "First paragraph.\nSecond one.\n\n\nThird.",
]
OTHER = {
    "e": ["¿Hola, cómo estás? Tengo 23 años (sí).", "«El perro» corre; ¡qué día!"],
    "f": ["Bonjour le monde, j'ai trois chats.", "L'été dernier, nous étions à Paris (en juillet)."],
    "h": ["नमस्ते दुनिया।", "मेरे पास तीन किताबें हैं।"],
    "i": ["Ciao mondo, come stai?", "Il gatto è sul tavolo; che bello!"],
    "p": ["Olá mundo, tudo bem?", "Amanhã não há aula."],
    "j": ["こんにちは、世界。「東京」は2024年です。", "コーヒーを三杯飲みました！", "ﾊﾝｶｸ ABC"],
    "z": ["你好，世界。今天是2024年。", "我有3本书（真的）！", "Hello 世界"],
}


@pytest.fixture(scope="module")
def reference():
    """lang code -> (text -> [phonemes of each piece]), by kokoro's KPipeline without a model."""
    with kpipeline_class() as make:
        pipelines = {}

        def speak(code, text):
            if code not in pipelines:
                pipelines[code] = make(code, repo_id="hexgrad/Kokoro-82M", model=False)
            return [result.phonemes for result in pipelines[code](text)]

        yield speak


def pieces(text, code):
    """The phonemes of each piece, as the pipeline makes them."""
    runs = (run for tokens in phonemize(text, code) for run in split_tokens(tokens, 510))
    return [phonemes for phonemes in map(join, runs) if phonemes]


@pytest.mark.parametrize("code", ["a", "b"])
def test_english_is_the_references(reference, code):
    for text in ENGLISH:
        assert pieces(text, code) == reference(code, text), text


def test_long_english_is_cut_where_the_reference_cuts(reference):
    dice = random.Random(5)
    for length in (20, 60):
        text = " ".join(dice.choice(ENGLISH[:19]) for _ in range(length)).replace("\n", " ")
        assert pieces(text, "a") == reference("a", text)


@pytest.mark.parametrize("code", OTHER)
def test_other_languages_are_the_references(reference, code):
    for text in OTHER[code]:
        assert pieces(text, code) == reference(code, text), text


def test_long_spanish_loses_nothing_where_the_reference_truncates(reference):
    text = "Tengo muchos libros en mi casa, " * 40 + "y ya."
    assert len(reference("e", text)[0]) == 510
    ours = pieces(text, "e")
    assert all(len(piece) <= 510 for piece in ours)
    assert " ".join(ours).count("lˈiβɾos") == 40


def test_languages_by_code_tag_and_name():
    assert language("en-us").code == language("A").code == language("American English").code == "a"
    assert language("pt_BR").code == "p"
    assert "".join(LANGUAGES) == "abefhijpz"
    with pytest.raises(UsageError, match=r"did you mean 'fr-fr'.*en-gb"):
        language("fr-fx")


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_no_text(text):
    with pytest.raises(UsageError, match="no text"):
        list(phonemize(text, "a"))


def test_too_much_text():
    with pytest.raises(UsageError, match="10,000,000"):
        list(phonemize("a" * 10_000_001, "a"))


def test_half_a_character():
    with pytest.raises(FormatError, match=r"position 3.*UTF-8"):
        list(phonemize("abc\ud800", "a"))


def test_control_characters_are_spaces():
    assert pieces("hello\0wor\x1bld", "a") == pieces("hello wor ld", "a")


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    [
        "😀🎉",
        "日本語",
        "привет",
        "\u200b\u200f",
        "\u0301" * 3000,
        "[[h@'l@U]] <speak> <|endoftext|> </s> [INST]",
        "مرحبا",
    ],
)
def test_strange_text_is_defined(code, text):
    """Emoji, other scripts, zero width, marks alone, mark-up of other programs: some phonemes or none, or one error."""
    try:
        result = pieces(text, code)
    except FormatError as error:
        assert "\n" not in str(error)
    else:
        assert all(0 < len(piece) <= 510 for piece in result)


def test_unreadable_text_is_one_error():
    with pytest.raises(FormatError, match="cannot be read as Japanese") as caught:
        list(phonemize("٣", "j"))  # misaki looks an Arabic digit up among its kana
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", ["zqx1", "😀", "word ", "word. ", "1", "word,"])
def test_a_megabyte_begins_at_once(unit):
    text = unit * (1_000_000 // len(unit))
    list(phonemize("warm up", "a"))
    start = time.process_time()
    assert next(phonemize(text, "a"))
    assert time.process_time() - start < 30


def test_stdout_stays_clean(capsys):
    list(phonemize("$ 1. -. 2,, .5. $.", "a"))
    list(phonemize("你好", "z"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("code", "module", "extra"),
    [("a", "misaki.en", "kokoro"), ("e", "misaki.espeak", "kokoro"), ("j", "misaki.cutlet", "kokoro-ja"),
     ("z", "jieba", "kokoro-zh")],
)  # fmt: skip
def test_missing_extra_names_the_command(monkeypatch, code, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    phonemes._g2p.cache_clear()
    with pytest.raises(MissingExtraError, match=rf"pip install 'pytorch-to-mlx\[{extra}\]'"):
        list(phonemize("text", code))
    phonemes._g2p.cache_clear()


def test_english_without_espeak_speaks_what_the_dictionaries_hold(monkeypatch):
    monkeypatch.setitem(sys.modules, "misaki.espeak", None)
    phonemes._g2p.cache_clear()
    assert pieces("Hello, world!", "a") == ["həlˈO, wˈɜɹld!"]
    with pytest.raises(MissingExtraError):
        pieces("qwizzlement", "a")
    phonemes._g2p.cache_clear()


def test_empty_tokens_are_kept_apart_from_text():
    assert all(isinstance(token, Token) for tokens in phonemize("A -- b.", "a") for token in tokens)
