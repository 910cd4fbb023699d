"""CosyVoice's text: ids against transformers' Qwen2 tokenizer, normalisation against what the original's rules give."""

import random

import pytest
from models.cosyvoice import release

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.models.cosyvoice.text.normalize import FARTHEST, normalize, text_pieces
from pytorch_to_mlx.models.cosyvoice.text.tokenizer import TAGS, TextTokenizer

SAMPLES = (
    "Hello world", " the", "你好，", "don't", "I'LL", "１２３", "3.14", "\n", "\r\n", "  ", "\t", "é", "e\u0301",
    "日本語", "안녕", "😀👍🏽", "[laughter]", "<strong>", "</strong>", "<|endofprompt|>", "[", "]", "<", "|>", "ﬁ",
    "a" * 50,    "<|im_start|>", "<|endoftext|>", "[quick_breath]", "[breath", " \n \n ",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    release.write_blank(folder / "CosyVoice-BlankEN", release.TINY)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return TextTokenizer.open(folder)


def test_ids_are_the_originals(folder, tokenizer):
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder / "CosyVoice-BlankEN")
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    theirs.add_special_tokens({**names, "additional_special_tokens": ["<|im_start|>", "<|im_end|>", *TAGS]})
    assert {tag: tokenizer.special[tag] for tag in TAGS} == {tag: theirs.convert_tokens_to_ids(tag) for tag in TAGS}
    assert tokenizer.size == len(theirs)
    choose = random.Random(0)
    for _ in range(300):
        text = "".join(choose.choice(SAMPLES) + choose.choice(["", " "]) for _ in range(choose.randint(0, 12)))
        assert tokenizer.encode(text, all_special=True) == theirs(text)["input_ids"], text


def test_control_tokens_that_a_user_types_are_text(tokenizer):
    base = release.TINY.base_vocab
    assert tokenizer.encode("<|endoftext|>", all_special=True) == [base]
    assert max(tokenizer.encode("<|endoftext|><|im_start|>")) < base
    assert tokenizer.encode("[breath]<|endofprompt|>") == [base + 4, base + 3]


def test_half_a_character(tokenizer):
    with pytest.raises(UsageError, match=r"holds '\\ud800', which is half of a character"):
        tokenizer.encode("x\ud800")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("merges.txt", lambda text: text + "a b c\n", r"line \d+ is 'a b c', not two tokens"),
        ("merges.txt", lambda text: text + "alone\n", r"line \d+ is 'alone', not two tokens"),
        ("merges.txt", lambda text: text + "z zz\n", r"line \d+ merges 'z zz', of which vocab.json lacks a token"),
        ("vocab.json", lambda text: text.replace(": 5,", ": 6,", 1), "are not 0, 1, 2 and so on, each once"),
        ("vocab.json", lambda text: "{}", "are not 0, 1, 2 and so on, each once"),
        ("tokenizer_config.json", lambda text: text.replace('"601"', '"7"'), "has the id or the name of another token"),
        (
            "tokenizer_config.json",
            lambda text: text.replace('"601"', '"-1"'),
            "added_tokens_decoder has the entry '-1'",
        ),
        ("tokenizer_config.json", lambda text: "{}", "names no special token"),
    ],
)
def test_malformed_files(folder, tmp_path, name, change, message):
    for path in (folder / "CosyVoice-BlankEN").iterdir():
        (tmp_path / path.name).write_text(path.read_text("utf-8"), "utf-8")
    changed = change((tmp_path / name).read_text("utf-8"))
    (tmp_path / name).write_text(changed, "utf-8")
    with pytest.raises(FormatError, match=rf"{name}: .*{message}"):
        TextTokenizer.open(tmp_path)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It is $3.50 on 12/16/2024, Dr. A",
         "It is three point five dollars on the sixteenth of december twenty twenty four, doctor A"),
        ("2024年12月16日花了3.5元", "二零二四年十二月十六日花了三点五元"),
        ("呃，我记错了…", "呃，我记错了…"),
        ("他说（对）。—— a - b【好】", "他说对。 a，b好"),
        ("我用 hello world 写程序，", "我用hello world写程序。"),
        ('He said "hi 3 times".', 'He said "hi three times".'),  # wetext alone gives \"hi
        ("x² and 5€\n\nnext", "x squared and five€ next"),
        ("<|zh|>3", "<|zh|>3"),
        ("2024", "twenty twenty four"),  # wetext alone takes it for Chinese
        ("  ", ""),
    ],
)  # fmt: skip
def test_normalisation(written, said):
    assert normalize(written) == said


@pytest.mark.parametrize("text", ["1" * 900, "9" * 400 + "个"])
def test_endless_digits_are_said_one_by_one(text):
    said = normalize(text)
    assert said.count("one") == 900 or said.count("九") == 400


def test_half_a_character_is_refused_first():
    with pytest.raises(UsageError, match="half of a character"):
        text_pieces("x\ud800 3", words)


@pytest.mark.parametrize("tag", TAGS[1:])
def test_tags_stay(tag):
    assert normalize(f"Well {tag} it is 3 o'clock{tag}.").count(tag) == 2
    assert normalize(f"好的{tag}，今天3点{tag}。").count(tag) == 2


def words(text):
    return len(text.split())


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("hi", ["hi."]),
        ("...", []),
        ("", []),
        ("。。。", []),
        ('."hi"', ['"hi".']),
        ("Text <|endofprompt|> 3", ["Text <|endofprompt|> 3"]),
        ("你好 \n", ["你好。"]),
        ('They left. "Why?" He stayed', ['They left. "Why?" He stayed.']),
    ],
)
def test_pieces(text, pieces):
    assert text_pieces(text, words) == pieces


def test_long_text_is_cut_at_sentences():
    sentence = "one two three four five six seven eight nine ten. "
    pieces = text_pieces(sentence * 17, words)
    assert [words(piece) for piece in pieces] == [80, 90]
    assert "".join(pieces).split() == (sentence * 17).split()
    assert [len(piece) for piece in text_pieces("一二三四五六七八九十。" * 20, words)] == [77, 77, 66]


def test_a_sentence_without_end_is_cut():
    pieces = text_pieces("好" * 900, words)
    assert max(map(len, pieces)) <= FARTHEST and "".join(pieces).count("好") == 900


def test_not_normalised():
    assert text_pieces("It is 3. And 4.", words, normalized=False) == ["It is 3. And 4."]
