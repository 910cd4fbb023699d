"""Fields that a config leaves open, or lacks, get a value."""

from pytorch_to_mlx.bench.coverage.reduce import add_missing_field, reduce_config
from pytorch_to_mlx.bench.coverage.reduce.open_fields import fill_open_fields


def test_what_a_config_leaves_open_is_filled_in(new_config):
    config = new_config(num_hidden_layers=9, layer_types=None, head_dim=None, num_experts_per_tok=None)
    reduced = reduce_config(config, lambda candidate: candidate.head_dim is not None)
    assert len(reduced.layer_types) == reduced.num_hidden_layers == 2 and reduced.num_experts_per_tok == 2


def test_a_field_that_the_code_asks_for_is_added(new_config):
    config = new_config(hidden_size=8)
    assert add_missing_field(config, AttributeError("'Config' object has no attribute 'image_start_token_id'"))
    assert config.image_start_token_id and not add_missing_field(
        config, AttributeError("'Config' object has no attribute 'x'")
    )


def test_rotary_parameters_are_filled_for_each_kind_of_layer(new_config):
    config = new_config(layer_types=["full", "sliding", "full"], rope_parameters={})
    filled = fill_open_fields(config).rope_parameters
    assert list(filled) == ["full", "sliding"] and filled["full"] == {"rope_type": "default", "rope_theta": 1e4}
    assert config.rope_parameters == {}
