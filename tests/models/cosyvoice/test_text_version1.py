"""Version 1's text tokenizers against openai-whisper's and against that of the packaged original."""

import pytest

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.cosyvoice.original.imports import original
from pytorch_to_mlx.models.cosyvoice.text.whisper_tokenizer import OWN_SIZE, WHISPER_SIZE, WhisperTokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]
TEXTS = (
    "<|zh|>你好，世界。Hello 2024!",
    "<|yue|>我哋係香港人<|endofprompt|> x",
    "<|ja|>こんにちは <|en|> <|0.02|> [laughter]<strong>a</strong> <|HAPPY|><|TTS/SP03|>é😀",
    "plain text, no tags; café",
    "",
)


def their_tokenizer(size, languages=100):
    if size == WHISPER_SIZE:
        from whisper.tokenizer import get_tokenizer
    else:
        (tokenizer,) = original("cosyvoice.tokenizer.tokenizer")
        get_tokenizer = tokenizer.get_tokenizer
    return get_tokenizer(True, num_languages=languages, language="en", task="transcribe")


@pytest.mark.parametrize(
    ("size", "languages", "n_ids"),
    [
        (WHISPER_SIZE, 100, WHISPER_SIZE),
        (OWN_SIZE, 100, OWN_SIZE - 5),
        (OWN_SIZE, 105, OWN_SIZE),
        (OWN_SIZE, 8749, OWN_SIZE),
    ],
)
def test_ids_are_the_original_s(size, languages, n_ids):
    """Its yaml says how many languages have a tag: 100 leave 5 of the own vocabulary's rows unused."""
    theirs, ours = their_tokenizer(size, languages), WhisperTokenizer(size, languages)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, allowed_special="all")
    special = theirs.encoding.special_tokens_set
    assert len(special) > 1600
    for text in special:
        assert ours.encode(text) == theirs.encode(text, allowed_special="all") and len(ours.encode(text)) == 1
    assert max(ours.encode(text)[0] for text in special) + 1 == theirs.encoding.n_vocab == n_ids


def test_wrong_use():
    with pytest.raises(FormatError, match="the text embedding has 100 rows; those of CosyVoice 1 have 51866 or 60515"):
        WhisperTokenizer(100)
    with pytest.raises(UsageError, match="half of a character"):
        WhisperTokenizer(WHISPER_SIZE).encode("\ud800")
