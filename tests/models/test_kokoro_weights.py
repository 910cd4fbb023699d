"""The three spellings of Kokoro's checkpoints; the rules themselves are tested on a twin in test_kokoro.py."""

import pytest

from pytorch_to_mlx.models.kokoro.weights import WEIGHTS, in_every_spelling, spellings
from pytorch_to_mlx.weights import rename


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert.pooler.bias", ("bert.pooler.bias", "bert.module.pooler.bias", "encoder.bert.pooler.bias")),
        ("decoder.N_conv.bias", ("decoder.N_conv.bias", "decoder.module.N_conv.bias", "decoder.decoder.N_conv.bias")),
        (
            "predictor.F0.0.pool.bias",
            ("predictor.F0.0.pool.bias", "predictor.module.F0.0.pool.bias", "encoder.predictor.F0.0.pool.bias",
             "encoder.F0.0.pool.bias"),
        ),
    ],
)  # fmt: skip
def test_spellings(name, expected):
    assert spellings(name) == expected


def test_one_group_for_every_spelling():
    rules = in_every_spelling(rename("bert_encoder.weight", "bert_encoder.weight"))
    assert [rule.sources[0].text for rule in rules] == list(spellings("bert_encoder.weight"))
    assert {rule.targets[0].text for rule in rules} == {"bert_encoder.weight"}
    assert len({rule.group for rule in rules}) == 1 and all(rule.group for rule in rules)


def test_every_rule_of_the_map_has_every_spelling():
    texts = {source.text for rule in WEIGHTS.rules for source in rule.sources}
    kmodel = {text for text in texts if set(spellings(text)) <= texts}
    assert {spelling for text in kmodel for spelling in spellings(text)} == texts
