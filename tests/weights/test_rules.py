"""The pattern language, the index over patterns, and the rules that refuse what they cannot mean."""

import mlx.core as mx
import pytest

from pytorch_to_mlx.weights import (
    CONCAT,
    CONV1D,
    LSTM_BIAS,
    WEIGHT_NORM,
    Pattern,
    Rule,
    WeightMap,
    concat,
    drop,
    either,
    fold,
    rename,
    split,
    tie,
    weight_norm,
)
from pytorch_to_mlx.weights.rules import Index, flatten


@pytest.mark.parametrize(
    ("pattern", "name", "captures"),
    [
        ("a.b", "a.b", ()),
        ("a.b", "axb", None),
        ("a.b", "a.b.c", None),
        ("layers.{}.weight", "layers.11.weight", (("{}", "11"),)),
        ("layers.{}.weight", "layers.x.weight", None),
        ("layers.{}.weight", "layers..weight", None),
        ("proj.*", "proj.bias", (("*", "bias"),)),
        ("proj.*", "proj.0.bias", None),
        ("proj.weight*", "proj.weight_g", (("*", "_g"),)),
        ("llm.**", "llm.layers.0.weight", (("**", "layers.0.weight"),)),
        ("llm.**", "llm.", None),
        ("*.{}.**.{}", "a.1.b.c.2", (("{}", "1"), ("{}", "2"), ("*", "a"), ("**", "b.c"))),
    ],
)
def test_match(pattern, name, captures):
    assert Pattern(pattern).match(name) == captures
    assert Pattern(pattern).matches(name) == (captures is not None)


def test_wildcards_of_a_kind_are_filled_in_their_order():
    captures = Pattern("enc.{}.res.{}.*").match("enc.3.res.1.bias")
    assert captures is not None
    assert Pattern("*.blocks.{}.{}").fill(captures) == "bias.blocks.3.1"
    assert Pattern("no.wildcard").fill(captures) == "no.wildcard"
    assert Pattern("*.{}.{}").match("bias.3.1") == captures  # equal whatever order the wildcards have


def test_index_finds_every_pattern_in_the_order_of_the_rules():
    patterns = ["a.*", "a.weight", "b.{}", "**"]
    index = Index(((number, 0), Pattern(text)) for number, text in enumerate(patterns))
    assert index.find("a.weight") == [(0, 0, (("*", "weight"),)), (1, 0, ()), (3, 0, (("**", "a.weight"),))]
    assert index.find("b.7") == [(2, 0, (("{}", "7"),)), (3, 0, (("**", "b.7"),))]
    assert Index([]).find("a") == []


def test_rules_print_as_they_are_written():
    assert str(rename("a.{}", "b.{}", CONV1D)) == "rename(a.{} -> b.{})"
    assert str(fold(("g", "v"), "w", WEIGHT_NORM)) == "fold(g, v -> w)"
    assert str(split("qk", ("q", "k"))) == "split(qk -> q, k)"
    assert str(tie("head", to="embed")) == "tie(head -> embed)"
    assert str(drop("steps", why="a counter")) == "drop(steps)"


def test_split_is_by_concat_unless_it_says_otherwise():
    assert split("qk", ("q", "k")).combine is CONCAT
    grouped = concat(7, 1, 1)
    assert split("qkv", ("q", "k", "v"), combine=grouped).combine is grouped


def test_either_makes_one_group():
    one, two = either(rename("old", "b"), rename("new", "b"))
    assert one.group == two.group == "rename(old -> b) or rename(new -> b)"
    assert one == rename("old", "b")  # the group is not part of what a rule does


def test_weight_norm_covers_four_ways_to_store_a_module():
    rules = weight_norm("up.{}", "ups.{}", CONV1D, optional=True)
    assert [str(rule) for rule in rules] == [
        "fold(up.{}.weight_g, up.{}.weight_v -> ups.{}.weight)",
        "fold(up.{}.parametrizations.weight.original0, up.{}.parametrizations.weight.original1 -> ups.{}.weight)",
        "rename(up.{}.weight -> ups.{}.weight)",
        "rename(up.{}.bias -> ups.{}.bias)",
    ]
    assert all(rule.optional and rule.group for rule in rules)
    assert [rule.layouts for rule in rules] == [(CONV1D,)] * 3 + [()]


def test_nested_tuples_of_rules_are_flat_in_a_map():
    nested = ((rename("a", "a"), (rename("b", "b"),)), rename("c", "c"))
    assert [str(rule.sources[0]) for rule in flatten(nested)] == ["a", "b", "c"]
    assert WeightMap(*nested).rules == flatten(nested)


def test_dtype_of_a_weight():
    weight_map = WeightMap(rename("**", "**"), keep_float32=("mel.**", "head.*"))
    assert weight_map.dtype_of("mel.filters.0", mx.float16) == mx.float32
    assert weight_map.dtype_of("head.0.weight", mx.float16) == mx.float16  # `*` is one part
    assert weight_map.dtype_of("mel.filters.0", None) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: drop("x", why="  "), r"drop\(x\) does not say why"),
        (lambda: rename("a.{}.b", "a.b"), "same number of {}"),
        (lambda: rename("a.*", "a.**"), "same number of {}"),
        (lambda: fold(("a.{}", "b.*"), "c.{}", LSTM_BIAS), "same number of {}"),
        (lambda: split("a.{}", ("b.{}", "c")), "same number of {}"),
        (lambda: fold(("a", "b", "c"), "d", LSTM_BIAS), "LSTM_BIAS folds 2 tensors"),
        (lambda: WeightMap(rename("a", "b"), drop("a", why="x")), "two rules have the source a"),
    ],
)
def test_rules_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_rule_is_data():
    rule = rename("a.*", "b.*", optional=True)
    assert rule == Rule("rename", (Pattern("a.*"),), (Pattern("b.*"),), optional=True)
