"""Pinyin as f5-tts 1.1.22 makes it: tests/golden/f5_front_end.py holds its tokens and rjieba's words."""

import json
import sys
import types
from pathlib import Path

import pytest

from pytorch_to_mlx.errors import MissingExtraError
from pytorch_to_mlx.text.pinyin import has_chinese, pinyin_tokens, without_readings

CASES = json.loads((Path(__file__).parent.parent / "golden" / "f5_front_end.json").read_text("utf-8"))["pinyin"]


@pytest.fixture
def rjieba(monkeypatch):
    """The words that rjieba 0.2.2 cut; a text that was not recorded fails."""
    words = {"".join(case["segments"]): case["segments"] for case in CASES}
    words |= {"重庆的重量": ["重庆", "的", "重量"], "中国(China)": ["中国", "(", "China", ")"]}
    monkeypatch.setitem(sys.modules, "rjieba", types.SimpleNamespace(cut=lambda text: words[text]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:20])
def test_the_tokens_are_the_originals(case, rjieba):
    assert pinyin_tokens(case["text"], forced=False) == case["tokens"]


def test_without_chinese_characters_rjieba_is_not_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "rjieba", None)
    others = [case for case in CASES if not has_chinese(case["text"])]
    assert len(others) >= 6
    for case in others:
        assert pinyin_tokens(case["text"]) == case["tokens"]
    with pytest.raises(MissingExtraError, match=r"Chinese text needs the package 'rjieba'.*f5-tts-zh"):
        pinyin_tokens("你好")


def test_a_reading_can_be_forced(rjieba):
    text = "重(zhong4)庆的(DE5)重（chong2）量"
    assert pinyin_tokens(text) == [
        " ", "zhong4", " ", "qing4", " ", "de", " ", "chong2", " ", "liang4"
    ]  # fmt: skip
    assert without_readings(text) == "重庆的重量"


def test_a_parenthesis_without_a_tone_stays(rjieba):
    assert "".join(pinyin_tokens("中国(China)")) == " zhong1 guo2( China)"


def test_unknown_characters_beside_each_other_are_kept(monkeypatch):
    """The original fails there: pypinyin joins what it does not know."""
    monkeypatch.setitem(sys.modules, "rjieba", types.SimpleNamespace(cut=lambda text: [text]))
    assert pinyin_tokens("㐂㐃") == [" ", "㐂", " ", "㐃"]
