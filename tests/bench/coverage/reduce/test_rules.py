"""The rules: which fields each is for, and what it makes of them."""

import pytest

from pytorch_to_mlx.bench.coverage.reduce.fields import matches, set_field
from pytorch_to_mlx.bench.coverage.reduce.rules import GROUPS, changes, rule_groups


def all_changes(config, groups=GROUPS):
    """Apply one group after another, as the search does, and return the fields that change."""
    before = dict(vars(config))
    for group in groups:
        for name, value in list(changes(config, group)):
            set_field(config, name, value)
    return {name: value for name, value in vars(config).items() if value != before[name]}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("num_hidden_layers", 12, 2),
        ("vocab_size", 32000, 128),
        ("eos_token_id", 31999, 128 - 1 - 31999 % 32),
        ("d_model", 768, 32),
        ("intermediate_size", 3072, 64),
        ("num_attention_heads", 12, 4),
        ("num_attention_heads", 3, 2),
        ("hidden_sizes", [64, 128, 320], [8, 16, 24]),
        ("embed_dim_per_stage", [96, 192, 384], [32, 64, 128]),
        ("image_size", [224, 448], [64, 64]),
        ("n_shared_experts", 2, 1),
    ],
)
def test_a_field_gets_a_smaller_value(new_config, name, old, new):
    assert all_changes(new_config(**{name: old})) == {name: new}


def test_other_fields_stay(new_config):
    config = new_config(use_cache=True, hidden_act="gelu", _hidden_size=768, num_hidden_layers=2, depths=[])
    assert all_changes(config) == {}
    assert all_changes(new_config(num_layers=4, out_features=["stage4"])) == {}


def test_the_first_rule_that_matches_a_field_counts(new_config):
    assert all_changes(new_config(patch_size=16)) == {"patch_size": 8}
    assert all_changes(new_config(hidden_size=768), rule_groups(width=128)) == {"hidden_size": 128}


def test_names_match_as_a_whole():
    assert matches("n_layers? .*_layers", "encoder_layers") and matches("n_layers?", "n_layer")
    assert not matches("layers", "encoder_layers")


def test_a_value_that_a_config_refuses_is_not_set():
    class Strict:
        @property
        def hidden_size(self):
            return 768

    config = Strict()
    set_field(config, "hidden_size", 32)
    assert config.hidden_size == 768
