"""What generated source asks of its inputs before it computes."""


def check_size(holds: bool, line: str) -> None:
    """Refuse sizes for which the original would run other code than this source was written from."""
    if not holds:
        raise ValueError(f"at this size the original takes another branch ({line}): convert it with an example like it")
