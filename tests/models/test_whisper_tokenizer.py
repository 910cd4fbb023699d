"""The vocabularies, special tokens and word splits are openai-whisper's."""

import pytest
from whisper.tokenizer import get_tokenizer

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.whisper.tokenizer import Tokenizer, language_code

# openai-whisper leaves a vocabulary file open
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("n_vocab,multilingual,languages", [(51864, False, 99), (51865, True, 99), (51866, True, 100)])
def test_tokenizer_is_openai_s(n_vocab, multilingual, languages):
    ours = Tokenizer.for_vocab(n_vocab)
    theirs = get_tokenizer(multilingual, num_languages=languages, language="de", task="translate")
    assert ours.encoding.n_vocab == theirs.encoding.n_vocab == n_vocab
    for name in ("eot", "sot", "sot_prev", "no_speech", "no_timestamps", "timestamp_begin"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.non_speech == theirs.non_speech_tokens
    assert ours.sot_sequence("de", "translate") == theirs.sot_sequence
    text = "Hello there, Mr. O'Neil — naïve 東京 ♪ 🎉🏳️‍🌈 12.5%"
    ids = ours.encode(text)
    assert ours.decode(ids) == text
    for language in ("en", "ja"):
        theirs.language = language
        assert ours.split_words(ids, language) == tuple(theirs.split_to_word_tokens(ids))


def test_special_tokens_in_text_are_text():
    tokenizer = Tokenizer(True)
    assert tokenizer.eot not in tokenizer.encode("a <|endoftext|> b")


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en-US", "en"), ("zh-CN", "zh"), ("zh_Hant_TW", "zh"), ("pt-BR", "pt"), ("jp", "ja"), ("cmn-Hans", "zh")],
)
def test_language_tags(tag, code):
    """BCP 47 puts the language before script and region; `jp` is a country, whose one language is meant."""
    assert language_code(tag) == code


def test_an_unknown_language_names_the_nearest():
    with pytest.raises(UsageError, match=r"unknown language 'germn'; did you mean 'german'\? known: en, zh"):
        language_code("germn")


def test_languages_by_name_and_code():
    assert language_code("English") == language_code(" en") == "en" and language_code("castilian") == "es"
    with pytest.raises(UsageError, match="klingon"):
        language_code("klingon")


def test_other_vocabularies_are_refused():
    with pytest.raises(FormatError, match="n_vocab is 50257"):
        Tokenizer.for_vocab(50257)
