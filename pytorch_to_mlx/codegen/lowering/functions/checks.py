"""The checks of sizes and values that generated source makes before it computes."""


def check_size(holds: bool, condition: str, line: str) -> None:
    """Refuse sizes for which the original would run other code than this source was written from.

    Raises: ValueError, with the condition and the line of the original that decides, unless it holds.
    """
    if not holds:
        raise ValueError(
            f"this source is for {condition} only, at other sizes the original takes another branch ({line}): "
            "convert again with an example of that size"
        )


def check_shape(name: str, x, shape: tuple) -> None:
    """Refuse an input whose axes are longer or shorter than those that this source was written for.

    Shapes: x is as long as `shape` on every axis, and of any length where that is None.
    Raises: ValueError, with the axis and both lengths, for any other.
    """
    if x.ndim != len(shape):
        raise ValueError(f"{name} has {x.ndim} axes, but this source is for {len(shape)}")
    for axis, size in enumerate(shape):
        if size is not None and x.shape[axis] != size:
            raise ValueError(
                f"axis {axis} of {name} is {size} only, not {x.shape[axis]}: convert again with an example of that size"
            )


def check_value(name: str, value, example) -> None:
    """Refuse another value of an argument than that with which this source was written.

    Raises: ValueError, with both values.
    """
    if value != example:
        raise ValueError(f"{name} is {example!r} only, not {value!r}: convert again with an example of that value")
