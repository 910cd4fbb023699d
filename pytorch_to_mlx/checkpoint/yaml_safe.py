"""Read YAML that may ask for code as data: HyperPyYAML's tags become inert nodes, nothing is imported or opened.

Scalars follow YAML 1.2's core schema, so that `no` is a word and 1e-5 is a number.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import FormatError, UnsafeError
from .budget import Budget
from .files import SourceFile, quote

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ALIASES = 1000
MAX_DIGITS = 100
_EVENT, _COPY = 150, 15  # steps for what PyYAML parses, and for a value that a reference copies
# Tags for which the original program imports or calls something: each becomes a Node.
_INERT = ("!new:", "!name:", "!apply:", "!module:", "!applyref:")
_REFERENCE = re.compile(r"<([A-Za-z_][\w.-]*)((?:\[[\w.-]+\])*)>")
_SCALARS = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^(?:[-+]?[0-9]{1,20}|0o[0-7]{1,22}|0x[0-9a-fA-F]{1,16})$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
)


@dataclass(frozen=True)
class Node:
    """A tag such as `!new:package.Class` as data: its kind, the name of its target, and its arguments."""

    kind: str
    target: str
    args: Any

    def __hash__(self) -> int:
        return hash((self.kind, self.target))


@dataclass(frozen=True)
class _Reference:
    """A `!ref` or `!copy` that is not looked up yet."""

    expression: str


def read_yaml(path: str | Path, *, allowed: Collection[str] | None = None) -> dict[str, Any]:
    """Read a YAML file as data; `!ref <name>` and `!copy <name>` are looked up, a longer expression stays a Node.

    allowed: the only targets that may occur (see `check_targets`); None for any.
    Raises: UnsafeError for python/object tags, !include and targets that are not allowed; FormatError with line and
    column for anything malformed, duplicate or merged keys, unknown tags, and depth or aliases over the limits.
    """
    path = Path(path)
    with SourceFile(path) as file:
        if file.size > MAX_BYTES:
            raise FormatError(f"{file.size} bytes of YAML, at most {MAX_BYTES} are read", where=path)
        data = file.read(0, file.size)
    return parse_yaml(data, where=path, allowed=allowed)


def parse_yaml(data: bytes, *, where: str | Path, allowed: Collection[str] | None = None) -> dict[str, Any]:
    """Read YAML from bytes, such as a text that a checkpoint holds; the rest is as in `read_yaml`."""
    path = Path(where)
    budget = Budget(path)
    try:
        value = _load(data.decode("utf-8"), path, budget)
    except UnicodeDecodeError:
        raise FormatError("not UTF-8", where=path) from None
    if not isinstance(value, dict):
        raise FormatError(f"a mapping is expected, found {type(value).__name__}", where=path)
    value = _Resolver(value, path, budget).resolve(value, ())
    if allowed is not None:
        check_targets(value, allowed, where=path)
    return value


def check_targets(value: Any, allowed: Collection[str], *, where: str | Path) -> None:
    """Refuse a config that names a target (by a tag, `_target_` or `class_path`) which is not among `allowed`.

    Raises: UnsafeError naming the first such target.
    """
    targets = []
    if isinstance(value, Node):
        targets.append(value.target if value.kind != "!ref" else None)
        value = value.args
    if isinstance(value, dict):
        targets += [value.get("_target_"), value.get("class_path")]
    for target in targets:
        if target is not None and target not in allowed:
            raise UnsafeError(f"asks for {quote(target)}, which is not a known target; nothing was run", where=where)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        check_targets(child, allowed, where=where)


def _load(text: str, where: Path, budget: Budget) -> Any:
    import yaml

    try:
        _check_events(yaml, text, where, budget)
        loader = _loader_class(yaml, where)(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"line {mark.line + 1} column {mark.column + 1}: " if mark else ""
        raise FormatError(f"{position}{error.problem or error.context}", where=where) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise FormatError(f"malformed YAML: {quote(error)}", where=where) from None


def _check_events(yaml: Any, text: str, where: Path, budget: Budget) -> None:
    """Refuse too much depth, or too many aliases, before anything is built, and where the budget is spent."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        budget.spend(_EVENT)
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            line = event.start_mark.line + 1
            raise FormatError(f"line {line}: nested too deep, or too many aliases", where=where)


def _loader_class(yaml: Any, where: Path) -> Any:
    """Make a loader that knows plain values and the inert tags, and refuses every other tag."""

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: ClassVar[dict] = {}

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, LookupError, AttributeError):
                problem = f"{node.tag.rpartition(':')[2]} cannot be made of {quote(node.value)}"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None

    for tag, pattern, first_characters in _SCALARS:
        Loader.add_implicit_resolver(tag, re.compile(pattern), first_characters)

    def mapping(loader: Any, node: Any) -> dict:
        result: dict = {}
        for key_node, child in node.value:
            key = loader.construct_object(key_node, deep=True)
            if type(key) not in (str, int, float, bool, type(None)) or key in result or key == "<<":
                problem = f"the key {quote(key)} occurs twice, is merged, or is not a plain value"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            result[key] = loader.construct_object(child, deep=True)
        return result

    def integer(loader: Any, node: Any) -> int:
        text = loader.construct_scalar(node)
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)

    def real(loader: Any, node: Any) -> float:
        text = loader.construct_scalar(node)
        value = loader.construct_yaml_float(node)
        if len(text) > MAX_DIGITS or text.lstrip("+-").isdigit() or (math.isinf(value) and "inf" not in text.lower()):
            raise ValueError("a number of too many digits")
        return value

    def arguments(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return mapping(loader, node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_scalar(node) or None

    def inert(kind: str) -> Any:
        return lambda loader, target, node: Node(kind.rstrip(":"), target, arguments(loader, node))

    def refuse(loader: Any, suffix: str, node: Any) -> None:
        line = node.start_mark.line + 1
        raise UnsafeError(f"line {line}: the tag {quote(node.tag)} asks to run or open something", where=where)

    def unknown(loader: Any, node: Any) -> None:
        raise yaml.constructor.ConstructorError(None, None, f"unknown tag {quote(node.tag)}", node.start_mark)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", integer)
    Loader.add_constructor("tag:yaml.org,2002:float", real)
    for tag in ("timestamp", "binary", "omap", "pairs", "set"):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", unknown)
    for kind in _INERT:
        Loader.add_multi_constructor(kind, inert(kind))
    for kind in ("!ref", "!copy"):
        Loader.add_constructor(kind, lambda loader, node: _Reference(str(loader.construct_scalar(node))))
    Loader.add_constructor("!tuple", arguments)
    Loader.add_multi_constructor("tag:yaml.org,2002:python/", refuse)
    Loader.add_multi_constructor("!include:", refuse)
    Loader.add_constructor(None, unknown)
    return Loader


class _Resolver:
    """Replace references by copies of what they name, within a budget that shared and cyclic values run into."""

    def __init__(self, document: dict[str, Any], where: Path, budget: Budget) -> None:
        self.document, self.where, self.budget = document, where, budget

    def resolve(self, value: Any, path: tuple[str, ...]) -> Any:
        self.budget.spend(_COPY)
        if len(path) > 2 * MAX_DEPTH:
            raise FormatError("aliases or references expand too far", where=self.where)
        if isinstance(value, dict):
            return {key: self.resolve(child, (*path, "")) for key, child in value.items()}
        if isinstance(value, list):
            return [self.resolve(child, (*path, "")) for child in value]
        if isinstance(value, Node):
            return Node(value.kind, value.target, self.resolve(value.args, (*path, "")))
        if isinstance(value, _Reference):
            return self.look_up(value.expression, path)
        return value

    def look_up(self, expression: str, path: tuple[str, ...]) -> Any:
        """Return a copy of the value that a reference names; a longer expression becomes a Node."""
        match = _REFERENCE.fullmatch(expression.strip())
        if not match:
            return Node("!ref", expression, None)
        if expression in path:
            raise FormatError(f"the reference {quote(expression)} refers to itself", where=self.where)
        value: Any = self.document
        for key in [match[1], *re.findall(r"\[([\w.-]+)\]", match[2])]:
            value = value.args if isinstance(value, Node) else value
            if not isinstance(value, dict) or key not in value:
                raise FormatError(f"the reference {quote(expression)} names nothing", where=self.where)
            value = value[key]
        return self.resolve(value, (*path, expression))
