"""safetensors: an own strict header check, then bytes from the same descriptor."""

import math
from pathlib import Path

from ..errors import FormatError
from .base import Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .files import SourceFile, closing_on_error, not_a, quote
from .json_file import parse_json

MAX_HEADER = 100_000_000  # the reference implementation's limit
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}


def open_safetensors(path: Path) -> Checkpoint:
    """Open one .safetensors file.

    Raises: FormatError for duplicate keys, dimensions that are no sizes, offsets that overlap, leave holes or leave
    trailing bytes, a header over 100 MB, and dtypes that MLX does not have.
    Source: https://github.com/huggingface/safetensors, "Format".
    """
    file = SourceFile(path)
    with closing_on_error(file):
        header, start = _header(file)
        metadata = header.pop("__metadata__", None)
        metadata = {} if metadata is None else metadata  # MLX writes null where it has none
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise FormatError("__metadata__ must map strings to strings", where=path)
        entries, spans = {}, []
        for name, fields in header.items():
            info, begin, end, stored = _tensor(name, fields, path)
            spans.append((begin, end, name))
            entries[name] = Entry(info, _reader(file, start + begin, end - begin, stored, info))
        _check_spans(spans, file.size - start, path)
    kind = "mlx" if metadata.get("format") == "mlx" else "safetensors"
    return Checkpoint(str(path), kind, entries, extra=dict(metadata), files=[file])


def _header(file: SourceFile) -> tuple[dict, int]:
    if file.size < 8:
        raise not_a("a safetensors file", file)
    length = int.from_bytes(file.read(0, 8), "little")
    if length > MAX_HEADER or length + 8 > file.size or length < 2 or file.read(8, 1) != b"{":
        if file.read(8, min(1, file.size - 8)) != b"{":
            raise not_a("a safetensors file", file)
        raise FormatError(
            f"the header claims {length} bytes; the file has {file.size} and a header at most {MAX_HEADER}",
            where=file.path,
        )
    return parse_json(file.read(8, length), where=file.path, max_depth=3), 8 + length


def _tensor(name: str, fields: object, path: Path) -> tuple[TensorInfo, int, int, str]:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"tensor {quote(name)} must have exactly dtype, shape and data_offsets", where=path)
    stored = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if stored is None:
        raise FormatError(
            f"tensor {quote(name)} has dtype {quote(fields['dtype'])}, which MLX does not have",
            where=path,
            fix=f"supported: {' '.join(DTYPES)}",
        )
    shape = check_shape(fields["shape"], name=name, where=path)
    offsets = fields["data_offsets"]
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or any(type(offset) is not int or not 0 <= offset < 2**62 for offset in offsets)
        or offsets[0] > offsets[1]
    ):
        raise FormatError(f"tensor {quote(name)}: data_offsets {quote(offsets)} are no range", where=path)
    begin, end = offsets
    needed = math.prod(shape) * itemsize(stored)
    if end - begin != needed:
        raise FormatError(
            f"tensor {quote(name)}: shape {list(shape)} of {fields['dtype']} needs {needed} bytes,"
            f" the offsets give {end - begin}",
            where=path,
        )
    return TensorInfo.of(name, stored, shape), begin, end, stored


def _reader(file: SourceFile, offset: int, length: int, stored: str, info: TensorInfo):
    return lambda: to_mlx(file.read_array(offset, length), stored, info.shape, name=info.name, where=file.path)


def _check_spans(spans: list[tuple[int, int, str]], size: int, path: Path) -> None:
    """The tensors must tile the data exactly: anything else hides bytes or shares them."""
    at = 0
    for begin, end, name in sorted(spans):
        if begin != at:
            problem = (
                "overlaps the tensor before it" if begin < at else f"leaves a hole of {begin - at} bytes before it"
            )
            raise FormatError(f"tensor {quote(name)} {problem}", where=path)
        at = end
    if at != size:
        found = f"{size - at} bytes after the last tensor" if size > at else f"cut off: {at - size} bytes are missing"
        raise FormatError(found, where=path, fix="download the file again" if size < at else None)
