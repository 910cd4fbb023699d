"""The five laws of a weight map, and every problem in one error."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from pytorch_to_mlx.errors import CheckError, FormatError
from pytorch_to_mlx.weights import (
    CONV1D,
    LINEAR_T,
    LSTM_BIAS,
    WEIGHT_NORM,
    WeightMap,
    apply,
    dead_rules,
    drop,
    either,
    fold,
    invert,
    load_into,
    make_plan,
    rename,
    split,
    tie,
    weight_norm,
)


def random_tensors(**shapes):
    return {name.replace("__", "."): mx.random.normal(shape) for name, shape in shapes.items()}


def assert_equal(one, other):
    assert sorted(one) == sorted(other)
    for name in one:
        assert one[name].dtype == other[name].dtype and mx.array_equal(one[name], other[name]), name


MAP = WeightMap(
    rename("enc.cnn.{}.1.gamma", "enc.norms.{}.weight"),
    rename("proj.*", "proj.*", CONV1D),
    rename("llm.**", "lm.**"),
    fold(("ups.{}.weight_g", "ups.{}.weight_v"), "ups.{}.weight", WEIGHT_NORM, CONV1D),
    fold(("rnn.bias_ih_l{}", "rnn.bias_hh_l{}"), "rnn.{}.bias", LSTM_BIAS),
    split("attn.{}.in_proj", ("attn.{}.q", "attn.{}.k"), LINEAR_T),
    tie("head.weight", to="llm.embed.weight"),
    drop("enc.position_ids", why="a constant range"),
    file=__file__,
)


def stored_tensors():
    stored = random_tensors(
        enc__cnn__0__1__gamma=(4,),
        enc__cnn__11__1__gamma=(4,),
        proj__weight=(4, 3, 2),
        proj__bias=(4,),
        llm__embed__weight=(5, 2),
        llm__layers__0__q__weight=(2, 2),
        ups__0__weight_v=(4, 3, 2),
        rnn__bias_ih_l0=(8,),
        rnn__bias_hh_l0=(8,),
        attn__2__in_proj=(6, 2),
    )
    stored["ups.0.weight_g"] = mx.random.uniform(0.5, 1, (4, 1, 1))
    stored["head.weight"] = stored["llm.embed.weight"]
    stored["enc.position_ids"] = mx.arange(7)
    return stored


def test_every_kind_of_rule():
    stored = stored_tensors()
    applied = apply(MAP, stored)
    assert {name: w.shape for name, w in applied.weights.items()} == {
        "attn.2.k": (2, 3),
        "attn.2.q": (2, 3),
        "enc.norms.0.weight": (4,),
        "enc.norms.11.weight": (4,),
        "lm.embed.weight": (5, 2),
        "lm.layers.0.q.weight": (2, 2),
        "proj.bias": (4,),
        "proj.weight": (4, 2, 3),
        "rnn.0.bias": (8,),
        "ups.0.weight": (4, 2, 3),
    }
    assert mx.array_equal(applied.weights["attn.2.k"], stored["attn.2.in_proj"][3:].T)
    assert mx.array_equal(applied.weights["enc.norms.11.weight"], stored["enc.cnn.11.1.gamma"])
    report = applied.report
    assert report.tensors == len(stored)
    assert report.dropped == {"enc.position_ids": "a constant range"}
    assert report.tied == {"head.weight": "llm.embed.weight"}
    assert report.folded["rnn.0.bias"] == ("rnn.bias_ih_l0", "rnn.bias_hh_l0")


def test_law_1_every_tensor_has_a_rule_and_all_problems_come_at_once():
    stored = stored_tensors() | random_tensors(
        decoder__res__0__alpha=(1, 8, 1), decoder__res__1__alpha=(1, 8, 1), extra=(2,)
    )
    del stored["ups.0.weight_g"], stored["enc.position_ids"]
    with pytest.raises(FormatError) as caught:
        apply(MAP, stored, family="kokoro")
    text = str(caught.value)
    assert "3 checkpoint tensors match no rule of 'kokoro'" in text
    assert "decoder.res.0.alpha   float32 [1, 8, 1]   (+1 more)" in text
    assert "extra   float32 [2]" in text
    assert "ups.0.weight_v is there without ups.0.weight_g" in text
    assert "drop(enc.position_ids)" in text
    assert f"add rules to {__file__}, or run" in text
    assert caught.value.exit_code == 4


def test_law_1_two_rules_for_one_tensor():
    weight_map = WeightMap(rename("a.*", "b.*"), rename("a.weight", "c.weight"))
    with pytest.raises(FormatError, match=r"1 tensor matches two rules(.|\n)*a\.weight  rename\(a\.\*"):
        apply(weight_map, random_tensors(a__weight=(2,), a__bias=(2,)))
    with pytest.raises(FormatError, match="matches two rules"):
        apply(WeightMap(rename("**", "**"), tie("b", to="a")), random_tensors(a=(2,), b=(2,)))


def test_two_rules_may_not_write_one_weight():
    with pytest.raises(FormatError, match=r"written twice: c"):
        apply(WeightMap(rename("a", "c"), rename("b", "c")), random_tensors(a=(2,), b=(2,)))


def test_law_2_no_dead_rules():
    stored = random_tensors(model__layer__weight=(2,))
    with pytest.raises(FormatError, match=r"1 rule matches no tensor(.|\n)*rename\(model\.layr.weight(.|\n)*nearest"):
        apply(WeightMap(rename("model.layer.*", "l.*"), rename("model.layr.weight", "x")), stored)
    assert apply(WeightMap(rename("model.layer.*", "l.*"), rename("model.layr", "x", optional=True)), stored)


def test_law_2_over_all_published_checkpoints():
    weight_map = WeightMap(
        rename("a", "a"),
        rename("v1.b", "b", optional=True),
        rename("v3.c", "c", optional=True),
        weight_norm("up", "up"),
    )
    one, two = ["a", "up.weight_g", "up.weight_v"], ["a", "v1.b", "up.weight"]
    assert dead_rules(weight_map, one, two) == ["rename(v3.c -> c)"]
    assert dead_rules(weight_map, one, two, ["v3.c"]) == []


def test_drop_that_relies_on_a_value():
    rules = WeightMap(drop("norm.weight", why="an identity", equals=1))
    assert not apply(rules, {"norm.weight": mx.ones(3)}).weights
    with pytest.raises(CheckError, match="is not 1 everywhere"):
        apply(rules, {"norm.weight": mx.array([1.0, 1.0, 1.5])})


def test_law_5_inverse_is_bit_exact_but_for_folds():
    stored = stored_tensors()
    back = invert(MAP, apply(MAP, stored).weights)
    folded = {"ups.0.weight_g", "ups.0.weight_v", "rnn.bias_ih_l0", "rnn.bias_hh_l0"}
    stored.pop("enc.position_ids")
    assert_equal(
        {k: v for k, v in back.items() if k not in folded}, {k: v for k, v in stored.items() if k not in folded}
    )
    again = apply(MAP, back | {"enc.position_ids": mx.arange(7)}).weights
    for name, weight in apply(MAP, stored | {"enc.position_ids": mx.arange(7)}).weights.items():
        np.testing.assert_allclose(np.array(again[name]), np.array(weight), rtol=1e-6, atol=0)


def test_inverse_of_half_a_split():
    with pytest.raises(FormatError, match=r"q is there without k"):
        invert(WeightMap(split("qk", ("q", "k"))), {"q": mx.zeros((2,))})


def test_inverse_of_what_no_rule_writes():
    with pytest.raises(FormatError, match=r"other is written by no rule"):
        invert(MAP, {"other": mx.zeros((2,))})


@pytest.mark.parametrize("form", ["old", "new", "plain"])
def test_weight_norm_in_every_form_gives_the_same_names(form):
    g, v, bias = mx.random.uniform(shape=(4, 1, 1)), mx.random.normal((4, 3, 2)), mx.zeros((4,))
    folded = WEIGHT_NORM.join([g, v])
    stored = {
        "old": {"dec.1.up.weight_g": g, "dec.1.up.weight_v": v},
        "new": {"dec.1.up.parametrizations.weight.original0": g, "dec.1.up.parametrizations.weight.original1": v},
        "plain": {"dec.1.up.weight": folded},
    }[form] | {"dec.1.up.bias": bias}
    weight_map = WeightMap(weight_norm("dec.{}.up", "ups.{}", CONV1D))
    weights = apply(weight_map, stored).weights
    assert_equal(weights, {"ups.1.weight": folded.transpose(0, 2, 1), "ups.1.bias": bias})
    assert sorted(invert(weight_map, weights)) == ["dec.1.up.bias", "dec.1.up.weight_g", "dec.1.up.weight_v"]


def test_either_needs_one_of_its_rules():
    weight_map = WeightMap(rename("a", "a"), either(rename("old.b", "b"), rename("new.b", "b")))
    for name in ("old.b", "new.b"):
        assert set(apply(weight_map, random_tensors(a=(1,)) | {name: mx.ones(2)}).weights) == {"a", "b"}
    with pytest.raises(FormatError, match=r"rename\(old.b -> b\) or rename\(new.b -> b\)"):
        apply(weight_map, random_tensors(a=(1,)))
    with pytest.raises(FormatError, match="written twice: b"):
        apply(weight_map, random_tensors(a=(1,)) | {"old.b": mx.ones(2), "new.b": mx.ones(2)})


def test_tied_weights_must_be_equal_and_one_of_them_is_enough():
    weight_map = WeightMap(rename("embed", "embed_tokens"), tie("head", to="embed"))
    w = mx.random.normal((3, 2))
    for stored in ({"embed": w, "head": w}, {"head": w}):
        assert_equal(apply(weight_map, stored).weights, {"embed_tokens": w})
    with pytest.raises(CheckError, match="head should equal embed and does not"):
        apply(weight_map, {"embed": w, "head": w + 1})


def test_several_names_for_one_tensor_that_is_stored_under_another():
    weight_map = WeightMap(rename("shared", "embed"), tie("{}.embed_tokens", to="shared"))
    w = mx.random.normal((3, 2))
    assert_equal(apply(weight_map, {"0.embed_tokens": w, "1.embed_tokens": w}).weights, {"embed": w})
    with pytest.raises(CheckError, match=r"1.embed_tokens should equal shared"):
        apply(weight_map, {"0.embed_tokens": w, "1.embed_tokens": -w})


def test_every_wrong_shape_is_listed():
    weight_map = WeightMap(rename("c.{}", "c.{}", CONV1D), split("qkv", ("q", "k", "v")))
    with pytest.raises(FormatError) as caught:
        apply(weight_map, random_tensors(c__0=(2, 3), c__1=(2, 3, 4), qkv=(4, 2)))
    assert caught.value.details == (
        "c.0 [2, 3]: CONV1D needs 3 axes",
        "qkv [4, 2]: its first axis does not divide into 3 shares",
    )


def test_overflow_in_float16_names_tensor_and_count():
    """Fault 92."""
    weight_map = WeightMap(rename("*", "*"))
    stored = {"a": mx.array([1.0, 65520.0, -1e9]), "b": mx.array([1.0, 1e-8]), "n": mx.array([70000])}
    with pytest.raises(CheckError) as caught:
        apply(weight_map, stored, dtype=mx.float16)
    assert caught.value.exit_code == 5
    assert caught.value.details == ("a [3]: 2 values do not fit into float16 (largest 1e+09)",)
    weights = apply(weight_map, {k: stored[k] for k in "bn"}, dtype=mx.float16).weights
    assert weights["b"].dtype == mx.float16 and weights["n"].dtype == mx.int32
    with pytest.raises(CheckError, match="1 value does not fit into bfloat16"):
        apply(weight_map, {"a": mx.array([3.4e38])}, dtype=mx.bfloat16)
    with mx.stream(mx.cpu):
        wide = mx.array(np.array([1e300, 1.0]), dtype=mx.float64)
    with pytest.raises(CheckError, match="1 value does not fit into float32"):
        apply(weight_map, {"a": wide})


def test_rule_keeps_a_weight_in_float32():
    """Fault 92."""
    weight_map = WeightMap(rename("*", "*"), keep_float32=("a",))
    applied = apply(weight_map, {"a": mx.array([1e9]), "b": mx.array([1.0])}, dtype=mx.float16)
    assert (applied.weights["a"].dtype, applied.weights["b"].dtype) == (mx.float32, mx.float16)
    assert applied.report.kept_float32 == ["a"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_nan_and_inf_are_refused_unless_allowed(value, dtype):
    """Fault 93."""
    stored = {"a": mx.array([1.0, value, 2.0]).astype(dtype)}
    weight_map = WeightMap(rename("a", "weight"))
    with pytest.raises(CheckError, match=r"weight \[3\] holds 1 NaN or Inf"):
        apply(weight_map, stored)
    weights = apply(weight_map, stored, allow_nonfinite=True).weights
    module = nn.RMSNorm(3)
    with pytest.raises(CheckError, match=r"weight: 1 of 3"):
        load_into(module, weights)
    assert load_into(module, weights, allow_nonfinite=True).weight.dtype == dtype


def test_plan_reads_nothing():
    plan = make_plan(MAP, list(stored_tensors()))
    assert plan.complete and len(plan.steps) == 11
