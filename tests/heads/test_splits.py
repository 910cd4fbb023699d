"""Splits: no speaker, text or recording on two sides."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pytorch_to_mlx.errors import FormatError
from pytorch_to_mlx.heads.manifest import Clip
from pytorch_to_mlx.heads.splits import assign_splits, normalize_text, shared, without_shared_texts, write_splits


def clip(number, speaker="", text=None, split=""):
    return Clip(f"c{number}", Path("x.wav"), number, text, None, {}, {}, None, speaker, "set", split, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press 4, please!", "press 4 please"),
        ("Don’t  'quote'\tme", "don't quote me"),
        ("Straße ﬁnd – “x”", "strasse find x"),
        ("Наёмник, ёж", "наёмник ёж"),
        ("नमस्ते", "नमस्ते"),
        ("'", ""),
    ],
)
def test_normalized_texts(text, expected):
    assert normalize_text(text) == expected == normalize_text(expected)


def test_speakers_are_drawn_by_the_seed_and_not_by_the_order():
    clips = [clip(n, f"s{n % 12}", f"text {n}") for n in range(120)]
    first, kind = assign_splits(clips, seed=3)
    again, _ = assign_splits(clips[::-1], seed=3)
    assert kind == "speaker" and {c.id: c.split for c in first} == {c.id: c.split for c in again}
    sizes = Counter(c.split for c in first)
    assert sizes == {"train": 80, "dev": 20, "test": 20}  # whole speakers of ten, at least 12 clips
    assert list(shared(first, {})) == []
    other, _ = assign_splits(clips, seed=4)
    assert {c.id: c.split for c in other} != {c.id: c.split for c in first}


def test_few_speakers_are_split_by_text():
    clips = [clip(n, f"s{n % 2}", f"text {n // 3}") for n in range(60)]
    split, kind = assign_splits(clips, seed=0)
    assert kind == "text" and {c.split for c in split} == {"train", "dev", "test"}
    assert all("speaker" in line for line in shared(split, {}))
    nameless, kind = assign_splits([clip(n) for n in range(30)], seed=0)
    assert kind == "text" and Counter(c.split for c in nameless) == {"train": 24, "dev": 3, "test": 3}


def test_what_cannot_be_split():
    with pytest.raises(FormatError, match="too few"):
        assign_splits([clip(1, "a", "x"), clip(2, "a", "x")], seed=0)
    with pytest.raises(FormatError, match="1 of 2 lines have no 'split'") as raised:
        assign_splits([clip(1, split="train"), clip(2)], seed=0)
    assert raised.value.details == ("line 2 (c2)",)
    given = [clip(1, "a", split="train"), clip(2, "a", split="test")]
    assert assign_splits(given, seed=0) == (given, "manifest")


def test_texts_of_the_test_are_dropped_from_training():
    clips = [
        clip(1, "a", "One.", "train"), clip(2, "a", "two", "train"), clip(3, "b", "Two!", "dev"),
        clip(4, "b", "ONE", "dev"), clip(5, "c", "one", "test"), clip(6, "a", None, "train"),
    ]  # fmt: skip
    used, dropped = without_shared_texts(clips)
    assert [c.id for c in used] == ["c3", "c5", "c6"] and [c.id for c in dropped] == ["c1", "c2", "c4"]


def test_what_is_shared_is_named():
    clips = [clip(1, "a", "One.", "train"), clip(2, "a", "one", "test"), clip(3, "b", "two", "dev")]
    lines = list(shared(clips, {"c1": "f", "c2": "e", "c3": "f"}))
    assert lines == [
        "speaker 'a' is in train and test", "text 'one' is in train and test", "recording 'f' is in train and dev"
    ]  # fmt: skip
    assert list(shared([replace(c, split="train") for c in clips], {})) == []


def test_the_split_file(tmp_path):
    write_splits(tmp_path / "splits.jsonl", [clip(1, "a", "One.", "train"), clip(2, "b", None, "test")])
    rows = [json.loads(line) for line in (tmp_path / "splits.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows] == ["train", "test"] and rows[1]["text_sha256"] is None
    assert set(rows[0]) == {"id", "source", "speaker", "text_sha256", "split"} and len(rows[0]["text_sha256"]) == 64
