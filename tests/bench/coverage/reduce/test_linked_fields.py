"""Fields that follow from others stay consistent when a config is reduced."""

from pytorch_to_mlx.bench.coverage.reduce import reduce_config


def test_fields_that_belong_together_are_reduced_together(new_config):
    config = new_config(
        vocab_size=1000,
        pad_token_id=999,
        hidden_size=512,
        num_attention_heads=8,
        head_dim=64,
        rope_parameters={"mrope_section": [8, 12, 12]},
        qk_nope_head_dim=48,
        qk_rope_head_dim=16,
        qk_head_dim=64,
    )
    reduced = reduce_config(config, lambda candidate: True)
    assert reduced.pad_token_id < reduced.vocab_size
    assert 2 * sum(reduced.rope_parameters["mrope_section"]) == reduced.head_dim
    assert reduced.qk_head_dim == reduced.qk_nope_head_dim + reduced.qk_rope_head_dim
    assert (config.vocab_size, config.rope_parameters["mrope_section"]) == (1000, [8, 12, 12])


def test_layers_that_stay_are_of_every_kind_in_turn(new_config):
    config = new_config(num_hidden_layers=6, kinds=["a", "a", "a", "b", "b", "b"])
    reduced = reduce_config(config, lambda candidate: candidate.kinds.count("b") == 2)
    assert reduced.kinds == ["a", "a", "b", "b"]


def test_timm_backbones_become_timms_own_test_models(new_config):
    reduced = reduce_config(
        new_config(architecture="mobilenetv5_300m_enc", width_coefficient=2.0), lambda candidate: True
    )
    assert (reduced.architecture, reduced.width_coefficient) == ("test_efficientnet", 1.0)


def test_feature_maps_scale_with_the_image(new_config):
    config = new_config(image_size=[1024, 1024], backbone_feature_sizes=[[256, 256], [64, 64]])
    assert reduce_config(config, lambda candidate: True).backbone_feature_sizes == [[16, 16], [4, 4]]


def test_attention_wider_than_the_model_stays_so(new_config):
    config = new_config(hidden_size=3712, attention_hidden_size=7424, num_attention_heads=16, attention_head_dim=464)
    reduced = reduce_config(config, lambda candidate: True)
    assert reduced.attention_hidden_size == 2 * reduced.hidden_size
    assert reduced.attention_head_dim * reduced.num_attention_heads == reduced.attention_hidden_size


def test_heads_that_share_no_keys_still_share_none(new_config):
    config = new_config(num_attention_heads=16, num_key_value_heads=16)
    reduced = reduce_config(config, lambda candidate: True)
    assert reduced.num_key_value_heads == reduced.num_attention_heads == 4
    grouped = reduce_config(new_config(num_attention_heads=16, num_key_value_heads=8), lambda candidate: True)
    assert (grouped.num_attention_heads, grouped.num_key_value_heads) == (4, 2)
