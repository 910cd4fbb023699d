"""Numbers with their units, as messages and tables print them."""

_PREFIXES = ("", "K", "M", "G", "T", "P", "E")


def size_text(n_bytes: float) -> str:
    """Return a size in three significant digits and powers of ten: "512 B", "311 MB", "1.23 GB"."""
    power = 0
    while n_bytes >= 999.5 and power < len(_PREFIXES) - 1:  # 999.5 would round to 1e+03
        n_bytes /= 1000
        power += 1
    return f"{n_bytes:.3g} {_PREFIXES[power]}B"


def count_text(count: int, one: str, many: str = "") -> str:
    """Return a number with its words: "1 shard is missing" or "3 shards are missing"; `many` is `one` with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def number_text(value: float, digits: int = 4) -> str:
    """Return a number in so many significant digits, a larger one whole: "0.1234", "129", "14510"."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text
