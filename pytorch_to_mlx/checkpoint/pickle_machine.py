"""Interpret the pickles inside PyTorch checkpoints by an allow-list, and execute nothing.

Only the opcodes that state dicts use are known, and only the globals in GLOBALS. Each global stands for a checked
constructor of plain data, written here: no name from a file is ever imported or called.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FormatError, UnsafeError
from .base import MAX_DIMS
from .budget import Budget
from .files import quote
from .placeholder import GETATTR, Placeholder, holds, is_member, may_stand

MAX_MARKS = 1000
MAX_GLOBAL = 1024  # characters of a global's name
MAX_BYTES = 64 << 20
KEYS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Storage:
    """A run of `numel` elements in the file; with dtype None it is untyped, and counted in bytes."""

    dtype: str | None
    key: str
    numel: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage. `dtype` is MLX's name, or torch's where MLX has none."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class StorageType:
    """The class of a storage, such as torch.FloatStorage."""

    dtype: str | None


@dataclass(frozen=True)
class Dtype:
    """A torch.dtype."""

    name: str


@dataclass(frozen=True)
class Function:
    """A global that the pickle may call; `build` makes plain data from the arguments."""

    build: Callable[..., Any]


def not_allowed(name: str, where: str | Path) -> UnsafeError:
    """Return the error for a global that is off the allow-list."""
    return UnsafeError(
        f"{quote(str(name))} is not on the allowlist; nothing was run",
        where=where,
        fix="where you trust the file, load it with PyTorch and save only its state_dict()",
    )


class _Malformed(Exception):
    """A malformed pickle; `load` turns it into a FormatError with the file's name."""


def _set(target: dict, key: Any, value: Any) -> None:
    """Set an item; refuse a key twice, and integers over 64 bits, of which any number can have the same hash."""
    if type(key) not in KEYS or (type(key) is int and key.bit_length() > 64):
        raise _Malformed(f"a key is a {type(key).__name__}")
    if key in target:
        raise _Malformed(f"the key {quote(key)} occurs twice")
    target[key] = value


def _ordered_dict(pairs: Any = ()) -> dict:
    if not isinstance(pairs, (list, tuple)):
        raise _Malformed("OrderedDict is not built from a list")
    result: dict = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise _Malformed("OrderedDict is not built from pairs")
        _set(result, *pair)
    return result


def _integers(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MAX_DIMS or any(type(part) is not int for part in value):
        raise _Malformed(f"a tensor's {what} is not a tuple of at most {MAX_DIMS} integers")
    return value


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, dtype: str | None) -> Tensor:
    if not isinstance(storage, Storage) or type(offset) is not int or dtype is None:
        raise _Malformed("a tensor is not built from a storage and an offset")
    size, stride = _integers(size, "size"), _integers(stride, "stride")
    if len(size) != len(stride):
        raise _Malformed(f"a tensor has {len(size)} sizes and {len(stride)} strides")
    return Tensor(storage, offset, size, stride, dtype)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    return _tensor(storage, offset, size, stride, getattr(storage, "dtype", None))


def _rebuild_tensor_v2(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None
) -> Tensor:
    _check_plain(requires_grad, hooks, metadata)
    return _rebuild_tensor(storage, offset, size, stride)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> Tensor:
    _check_plain(requires_grad, hooks, metadata)
    if not isinstance(dtype, Dtype):
        raise _Malformed("a tensor's dtype is not a dtype")
    return _tensor(storage, offset, size, stride, dtype.name)


def _rebuild_parameter(data: Any, requires_grad: Any, hooks: Any) -> Tensor:
    _check_plain(requires_grad, hooks, None)
    if not isinstance(data, Tensor):
        raise _Malformed("a parameter is not built from a tensor")
    return data


def _check_plain(requires_grad: Any, hooks: Any, metadata: Any) -> None:
    if not isinstance(requires_grad, bool) or hooks or metadata:
        raise _Malformed("a tensor carries hooks or metadata")


def _size(value: Any = ()) -> tuple[int, ...]:
    return _integers(tuple(value) if isinstance(value, list) else value, "size")


def _device(kind: Any, index: Any = None) -> str:
    if type(kind) is not str or len(kind) > 32 or not (index is None or (type(index) is int and -1 <= index < 1 << 16)):
        raise _Malformed("a device is not built from a name and a number")
    return kind if index is None else f"{kind}:{index}"


_STORAGES = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Double": "float64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
_DTYPES = ["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"]
_DTYPES += ["uint16", "uint32", "uint64", "complex64", "complex32", "complex128", "float8_e4m3fn", "float8_e5m2"]
GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": Function(_ordered_dict),
    "torch._utils._rebuild_tensor": Function(_rebuild_tensor),
    "torch._utils._rebuild_tensor_v2": Function(_rebuild_tensor_v2),
    "torch._utils._rebuild_tensor_v3": Function(_rebuild_tensor_v3),
    "torch._utils._rebuild_parameter": Function(_rebuild_parameter),
    "torch.Size": Function(_size),
    "torch.device": Function(_device),
    "torch.storage.UntypedStorage": StorageType(None),
    **{f"torch.{name}Storage": StorageType(dtype) for name, dtype in _STORAGES.items()},
    **{f"torch.{name}": Dtype(name) for name in _DTYPES},
}
# Opcodes that run code in a real unpickler: a file that has them is refused as unsafe rather than as malformed.
_CODE_RUNNERS = {b"i": "INST", b"o": "OBJ"}
_CODE_RUNNERS |= {b"\x82": "EXT1", b"\x83": "EXT2", b"\x84": "EXT4", b"P": "PERSID", b"\x97": "NEXT_BUFFER"}


def load(data: bytes, *, where: str | Path, start: int = 0, budget: Budget | None = None) -> tuple[Any, int]:
    """Interpret one pickle; return its value (plain data, Tensor, Storage) and the offset after its STOP.

    Raises: UnsafeError for a global or an opcode that state dicts do not use; FormatError for anything malformed, and
    where the budget is spent.
    """
    try:
        machine = _Machine(data, where, start, budget or Budget(where))
        return machine.run(), machine.offset
    except _Malformed as error:
        raise FormatError(f"malformed pickle: {error}", where=where) from None
    except UnicodeDecodeError:
        raise FormatError("malformed pickle: a string is not UTF-8", where=where) from None


class _Machine:
    """The stack machine of a pickle: one method for each thing that an opcode does."""

    def __init__(self, data: bytes, where: str | Path, start: int, budget: Budget) -> None:
        self.data, self.where, self.offset, self.budget = data, where, start, budget
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            self.budget.spend()
            opcode = self.take(1)
            if opcode == b".":
                if self.marks or len(self.stack) != 1:
                    raise _Malformed("it does not end with exactly one value")
                return self.stack[0]
            handler = _HANDLERS.get(opcode)
            if handler is None:
                self.refuse(opcode)
            else:
                handler(self)

    def refuse(self, opcode: bytes) -> None:
        """Refuse an opcode that has no handler."""
        if opcode in _CODE_RUNNERS:
            raise UnsafeError(f"opcode {_CODE_RUNNERS[opcode]} is not used by state dicts", where=self.where)
        raise _Malformed(f"opcode {opcode!r} at byte {self.offset - 1} is not used by state dicts")

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        end = self.offset + count
        if end > len(self.data):
            raise _Malformed("it is cut off")
        chunk = self.data[self.offset : end]
        self.offset = end
        return chunk

    def number(self, count: int) -> int:
        """Return the next `count` bytes as an unsigned number."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> str:
        """Return the text up to the next newline."""
        end = self.data.find(b"\n", self.offset, self.offset + 1024)
        if end < 0:
            raise _Malformed("a global has no end")
        return self.take(end + 1 - self.offset)[:-1].decode("utf-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack:
            raise _Malformed("the stack is empty")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """Return everything that was pushed since the last mark."""
        if not self.marks:
            raise _Malformed("a mark is missing")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        if len(self.marks) >= MAX_MARKS:
            raise _Malformed(f"more than {MAX_MARKS} nested marks")
        self.marks.append(self.stack)
        self.stack = []

    def pop_tuple(self, count: int) -> None:
        if len(self.stack) < count:
            raise _Malformed("the stack is empty")
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def append(self, items: list[Any]) -> None:
        if self.stack and isinstance(self.stack[-1], Placeholder):
            self.leave_unread(self.stack[-1], items)
            return
        if not self.stack or type(self.stack[-1]) is not list:
            raise _Malformed("an item is appended to what is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if self.stack and isinstance(self.stack[-1], Placeholder):
            self.leave_unread(self.stack[-1], items)
            return
        if not self.stack or type(self.stack[-1]) is not dict:
            raise _Malformed("an item is set on what is not a dict")
        if len(items) % 2:
            raise _Malformed("a key has no value")
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            key = self.budget.name(f"{key} {len(target)}") if isinstance(key, Placeholder) else key
            _set(target, key, value)

    def put(self, index: int) -> None:
        if not self.stack:
            raise _Malformed("the stack is empty")
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise _Malformed(f"memo {index} is not set")
        self.push(self.memo[index])

    def push_global(self, module: Any, name: Any) -> None:
        """Push what GLOBALS has for a name; refuse any other name as unsafe."""
        if type(module) is not str or type(name) is not str:
            raise _Malformed("a global has no name")
        if len(module) + len(name) > MAX_GLOBAL:
            raise _Malformed(f"a global's name has {len(module) + len(name)} characters, at most {MAX_GLOBAL} are read")
        value = GLOBALS.get(f"{module}.{name}")
        full_name = f"{module}.{name}"
        if value is None and not may_stand(full_name):
            raise not_allowed(full_name, self.where)
        self.push(Placeholder(full_name) if value is None else value)

    def leave_unread(self, placeholder: Placeholder, *contents: Any) -> None:
        """Forget what an object off the allow-list is made of; refuse one that holds tensors."""
        if holds(contents, (Tensor, Storage), self.budget):
            raise not_allowed(placeholder, self.where)

    def new_object(self, opcode: str, n_parts: int) -> None:
        """Leave an object unread that Python would make of a class and `n_parts` of arguments."""
        parts = [self.pop() for _ in range(n_parts)]
        kind = self.pop()
        if not isinstance(kind, Placeholder):
            raise UnsafeError(f"opcode {opcode} is not used by state dicts", where=self.where)
        self.leave_unread(kind, *parts)
        self.push(kind)

    def reduce(self) -> None:
        """Call a known constructor with its arguments."""
        arguments, function = self.pop(), self.pop()
        if isinstance(function, Placeholder):
            if function in GETATTR and not is_member(arguments):
                raise not_allowed(function, self.where)
            self.leave_unread(function, arguments)
            self.push(function)
            return
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise UnsafeError("the pickle calls what is not a known constructor; nothing was run", where=self.where)
        # What a constructor makes is as large as its arguments, which the memo may give it again and again.
        self.budget.spend(sum(len(part) for part in arguments if isinstance(part, (list, tuple, dict))))
        try:
            self.push(function.build(*arguments))
        except TypeError:
            raise _Malformed(f"{function.build.__name__} does not take {len(arguments)} arguments") from None

    def build(self) -> None:
        """Drop OrderedDict's `_metadata` (module versions), the one state in state dicts; refuse any other."""
        state = self.pop()
        if self.stack and isinstance(self.stack[-1], Placeholder):
            self.leave_unread(self.stack[-1], state)
            return
        if not self.stack or type(self.stack[-1]) is not dict or type(state) is not dict or set(state) != {"_metadata"}:
            raise UnsafeError("the pickle sets an object's state (BUILD); nothing was run", where=self.where)

    def persistent(self) -> None:
        """Push the storage of ("storage", type, key, device, numel) and, in legacy files, a view that must be None."""
        parts = self.pop()
        if not isinstance(parts, tuple) or len(parts) not in (5, 6) or parts[0] != "storage":
            raise _Malformed("a persistent id is not a storage")
        _, kind, key, device, numel, *view = parts
        if not isinstance(kind, StorageType) or type(key) is not str or type(device) is not str:
            raise _Malformed("a storage has no type or key")
        if type(numel) is not int or not 0 <= numel < 2**60 or any(part is not None for part in view):
            raise _Malformed(f"storage {quote(key)} has an impossible size or view")
        self.push(Storage(kind.dtype, key, numel))

    def protocol(self) -> None:
        if self.number(1) > 5:
            raise _Malformed("unknown protocol")

    def string(self, width: int) -> None:
        self.push(self.take(self.number(width)).decode("utf-8"))

    def frame(self) -> None:
        self.take(8)


def _constant(value: Callable[[], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value())


def _signed(count: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(int.from_bytes(machine.take(count), "little", signed=True))


def _frozen(machine: _Machine, items: list[Any]) -> Placeholder:
    machine.leave_unread(Placeholder("builtins.frozenset"), items)
    return Placeholder("builtins.frozenset")


def _long1(machine: _Machine) -> None:
    machine.push(int.from_bytes(machine.take(machine.number(1)), "little", signed=True))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push_global(module, name)


_HANDLERS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": _Machine.protocol,
    b"\x95": _Machine.frame,
    b"(": _Machine.mark,
    b"}": _constant(dict),
    b"]": _constant(list),
    b")": _constant(tuple),
    b"N": _constant(lambda: None),
    b"\x88": _constant(lambda: True),
    b"\x89": _constant(lambda: False),
    b"J": _signed(4),
    b"K": lambda m: m.push(m.number(1)),
    b"M": lambda m: m.push(m.number(2)),
    b"\x8a": _long1,
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"X": lambda m: m.string(4),
    b"\x8c": lambda m: m.string(1),
    b"\x8d": lambda m: m.string(8),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"l": lambda m: m.push(m.pop_mark()),
    b"\x85": lambda m: m.pop_tuple(1),
    b"\x86": lambda m: m.pop_tuple(2),
    b"\x87": lambda m: m.pop_tuple(3),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.pop_mark()),
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"q": lambda m: m.put(m.number(1)),
    b"r": lambda m: m.put(m.number(4)),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": lambda m: m.get(m.number(1)),
    b"j": lambda m: m.get(m.number(4)),
    b"c": lambda m: m.push_global(m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
    b"\x81": lambda m: m.new_object("NEWOBJ", 1),
    b"\x92": lambda m: m.new_object("NEWOBJ_EX", 2),
    b"B": lambda m: m.push(m.take(m.number(4))),
    b"C": lambda m: m.push(m.take(m.number(1))),
    b"\x8e": lambda m: m.push(m.take(m.number(8))),
    b"\x8f": _constant(lambda: Placeholder("builtins.set")),
    b"\x90": lambda m: m.append(m.pop_mark()),
    b"\x91": lambda m: m.push(_frozen(m, m.pop_mark())),
    b"Q": _Machine.persistent,
}
