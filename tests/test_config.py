"""Numbers of a config.json are checked before a model is built (faults 48 and 49)."""

import dataclasses
from typing import Any, Literal

import pytest

from pytorch_to_mlx import config
from pytorch_to_mlx.errors import FormatError


@dataclasses.dataclass(frozen=True)
class Part:
    n_fft: int
    hop: int = 4


@dataclasses.dataclass(frozen=True)
class Sizes:
    hidden_size: int
    num_attention_heads: int
    num_hidden_layers: int
    part: Part
    rates: tuple[int, ...] = (2, 2)
    pair: tuple[int, float] = (1, 1.0)
    grid: tuple[tuple[int, ...], ...] = ()
    rope_theta: float = 10000.0
    pad_id: int = config.number(0, low=-1)
    bias: bool = True
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    vocab: dict[str, int] = dataclasses.field(default_factory=dict)
    anything: Any = None

    def __post_init__(self):
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} does not divide into {self.num_attention_heads} heads")


GOOD = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "part": {"n_fft": 16}}


def build(**changes):
    return config.from_dict(Sizes, {**GOOD, **changes}, expected={"hidden_act": "silu"})


def test_reads_what_it_declares():
    sizes = build(
        rates=[3, 4], grid=[[1], [2, 3]], rope_theta=5, pad_id=-1, limit=None, hidden_act="silu", model_type="x"
    )
    assert sizes == Sizes(8, 2, 1, Part(16), (3, 4), grid=((1,), (2, 3)), rope_theta=5.0, pad_id=-1)
    assert isinstance(sizes.rope_theta, float)
    assert build(limit=5, vocab={"a": 1}, anything=[{}]).anything == [{}]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"hidden_size": 0}, "hidden_size is 0, below the minimum of 1"),
        ({"hidden_size": -8}, "hidden_size is -8, below"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000, above"),
        ({"hidden_size": 10**5000}, "hidden_size is a huge integer, above"),
        ({"hidden_size": 8.0}, "hidden_size must be an int, found 8.0"),
        ({"hidden_size": "8"}, "hidden_size must be an int, found '8'"),
        ({"hidden_size": True}, "hidden_size must be an int, found True"),
        ({"hidden_size": None}, "hidden_size must be an int, found None"),
        ({"hidden_size": [8]}, "hidden_size must be an int"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000, above the maximum of 1000"),
        ({"num_attention_heads": 3}, "hidden_size 8 does not divide into 3 heads"),
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"rope_theta": 10**400}, "rope_theta must be a float"),
        ({"rope_theta": "x" * 1000}, "rope_theta must be a float, found 'xxx"),
        ({"pad_id": -2}, "pad_id is -2"),
        ({"bias": 1}, "bias must be a bool"),
        ({"kind": "c"}, "kind is 'c'; supported: 'a', 'b'"),
        ({"kind": ["c"]}, "kind is"),
        ({"part": 3}, "part must be an object"),
        ({"part": {}}, "part.n_fft is missing"),
        ({"part": {"n_fft": 0}}, "part.n_fft is 0"),
        ({"rates": 2}, "rates must be a list"),
        ({"rates": [2, 0]}, "rates[1] is 0"),
        ({"rates": [1] * 2000}, "rates must hold at most 1000 values, found 2000"),
        ({"pair": [1]}, "pair must hold 2 values, found 1"),
        ({"limit": 0}, "limit is 0"),
        ({"vocab": [1]}, "vocab must be an object, found [1]"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; this port was made for 'silu'"),
    ],
    ids=lambda v: f"C48-{next(iter(v))}" if isinstance(v, dict) else "",
)
def test_bad_number(change, problem):
    """Fault 48."""
    with pytest.raises(FormatError) as caught:
        build(**change)
    assert problem in str(caught.value) and len(str(caught.value)) < 500
    assert caught.value.exit_code == 4


def test_every_problem_at_once():
    with pytest.raises(FormatError) as caught:
        config.from_dict(Sizes, {"hidden_size": 0, "num_attention_heads": "x", "part": {"n_fft": 0}})
    assert len(caught.value.details) == 4


def test_not_an_object():
    with pytest.raises(FormatError, match="must be an object"):
        config.from_dict(Sizes, [])


def test_unknown_keys():
    data = {**GOOD, "model_type": "x", "new_idea": 1, "hidden_act": "silu", "old": 0}
    assert config.unknown_keys(Sizes, data, ignored={"old"}, expected={"hidden_act"}) == ["new_idea"]
