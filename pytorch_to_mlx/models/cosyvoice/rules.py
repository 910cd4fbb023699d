"""Weight rules that several parts share."""

from ...weights import Layout, Rule, rename


def weight_and_bias(source: str, target: str, *layouts: Layout) -> tuple[Rule, ...]:
    """Return the rules that rename `source.weight` and `source.bias`."""
    return tuple(rename(f"{source}.{name}", f"{target}.{name}", *layouts) for name in ("weight", "bias"))
