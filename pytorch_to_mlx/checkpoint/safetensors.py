"""Read safetensors files: a strict check of the header, then the bytes through the same descriptor."""

import math
from collections.abc import Callable
from pathlib import Path

from ..errors import FormatError
from .base import Checkpoint, Entry, TensorInfo, check_shape, itemsize, to_mlx
from .budget import TENSOR, Budget
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


def open_safetensors(path: Path, budget: Budget) -> Checkpoint:
    """Open one .safetensors file.

    Raises: FormatError for duplicate keys, impossible dimensions, offsets that overlap or leave holes or trailing
    bytes, a header over 100 MB, and dtypes that MLX does not have.
    Source: https://github.com/huggingface/safetensors, "Format".
    """
    file = SourceFile(path)
    with closing_on_error(file):
        header, data_start = _read_header(file, budget)
        metadata = header.pop("__metadata__", None)
        metadata = {} if metadata is None else metadata  # MLX writes null where it has none
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise FormatError("__metadata__ must map strings to strings", where=path)
        budget.spend(TENSOR * len(header))
        entries, spans = {}, []
        for name, fields in header.items():
            info, begin, end, stored_dtype = _read_tensor(name, fields, path)
            spans.append((begin, end, name))
            entries[name] = Entry(info, _reader(file, data_start + begin, end - begin, stored_dtype, info))
        _check_spans(spans, file.size - data_start, path)
    kind = "mlx" if metadata.get("format") == "mlx" else "safetensors"
    return Checkpoint(str(path), kind, entries, extra=dict(metadata), files=[file])


def _read_header(file: SourceFile, budget: Budget) -> tuple[dict, int]:
    """Return the header and the offset at which the data begins."""
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
    return parse_json(file.read(8, length), where=file.path, max_depth=3, budget=budget), 8 + length


def _read_tensor(name: str, fields: object, path: Path) -> tuple[TensorInfo, int, int, str]:
    """Return a tensor's header, where its bytes begin and end in the data, and its stored dtype."""
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"tensor {quote(name)} must have exactly dtype, shape and data_offsets", where=path)
    stored_dtype = DTYPES.get(fields["dtype"]) if isinstance(fields["dtype"], str) else None
    if stored_dtype is None:
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
        raise FormatError(f"tensor {quote(name)}: data_offsets {quote(offsets)} are not a range", where=path)
    begin, end = offsets
    needed = math.prod(shape) * itemsize(stored_dtype)
    if end - begin != needed:
        raise FormatError(
            f"tensor {quote(name)}: shape {list(shape)} of {fields['dtype']} needs {needed} bytes,"
            f" the offsets give {end - begin}",
            where=path,
        )
    return TensorInfo.of(name, stored_dtype, shape), begin, end, stored_dtype


def _reader(file: SourceFile, offset: int, length: int, stored_dtype: str, info: TensorInfo) -> Callable:
    return lambda: to_mlx(file.read_array(offset, length), stored_dtype, info.shape, name=info.name, where=file.path)


def _check_spans(spans: list[tuple[int, int, str]], size: int, path: Path) -> None:
    """Refuse tensors that do not tile the data exactly: anything else hides bytes or shares them."""
    last_end = 0
    for begin, end, name in sorted(spans):
        if begin < last_end:
            raise FormatError(f"tensor {quote(name)} overlaps the tensor before it", where=path)
        if begin > last_end:
            raise FormatError(f"tensor {quote(name)} leaves a hole of {begin - last_end} bytes before it", where=path)
        last_end = end
    if size > last_end:
        raise FormatError(f"{size - last_end} bytes after the last tensor", where=path)
    if size < last_end:
        missing = f"the file is cut off: {last_end - size} bytes are missing"
        raise FormatError(missing, where=path, fix="download the file again")
