"""The search: as many rules as the model survives."""

from pytorch_to_mlx.bench.coverage.reduce import reduce_config
from pytorch_to_mlx.bench.coverage.reduce.search import reducible_fields


def test_what_works_at_once_is_tried_once(new_config):
    candidates = []
    reduced = reduce_config(new_config(vocab_size=1000, hidden_size=512), lambda c: not candidates.append(c))
    assert candidates == [reduced] and (reduced.vocab_size, reduced.hidden_size) == (128, 32)


def test_a_wider_model_is_tried_where_the_narrow_one_fails(new_config):
    reduced = reduce_config(new_config(vocab_size=1000, hidden_size=512), lambda c: c.hidden_size >= 128)
    assert (reduced.vocab_size, reduced.hidden_size) == (128, 128)


def test_one_field_that_must_stay_keeps_no_other(new_config):
    config = new_config(num_hidden_layers=12, vocab_size=1000, hidden_size=512, intermediate_size=2048)
    reduced = reduce_config(config, lambda c: c.hidden_size == 512)
    assert vars(reduced) == {"num_hidden_layers": 2, "vocab_size": 128, "hidden_size": 512, "intermediate_size": 64}


def test_a_config_that_never_works_is_returned_as_it_was(new_config):
    config = new_config(num_hidden_layers=12, hidden_size=512)
    reduced = reduce_config(config, lambda c: False)
    assert reduced is not config and vars(reduced) == vars(config)


def test_fields_inside_are_reducible(new_config):
    from pytorch_to_mlx.bench.coverage.reduce.rules import GROUPS

    assert reducible_fields(new_config(d_model=512, n_layers=2), GROUPS[2]) == {"d_model"}
