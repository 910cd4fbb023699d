"""The check of sizes that generated source makes before it computes."""


def check_size(holds: bool, line: str) -> None:
    """Refuse sizes for which the original would run other code than this source was written from.

    Raises: ValueError, with the line of the original that decides, unless the condition holds.
    """
    if not holds:
        raise ValueError(
            f"at this size the original takes another branch ({line}): convert it again with an example of this size"
        )
