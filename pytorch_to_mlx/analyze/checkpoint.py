"""Say what a checkpoint holds, which family it is, and what of it would not convert. Only headers are read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import codegen
from ..checkpoint import Checkpoint, TensorInfo, open_checkpoint
from ..errors import CheckError, FormatError
from ..model_source import ModelSource, find_model_or_module, locate_model
from ..units import count_text, size_text
from ..weights import WeightMap, make_plan
from ..weights.apply import grouped
from ..weights.numbers import FLOATS
from ..weights.pack import sizes
from ..weights.quantize import layer_sizes

if TYPE_CHECKING:
    from ..registry import AnyFamily

MAX_ROWS = 1000


@dataclass
class Analysis:
    """The answer of `analyze`. `convertible` is False where `problems` says why.

    kind: the file format. licence: of a published checkpoint. unmatched: tensors that match no rule of the family, one
    line for each kind. dead_rules: rules that match no tensor. dropped: tensors left out on purpose, and why.
    config_ignored: keys of config.json that are not read. dtypes: tensors, numbers and bytes by stored dtype. sizes:
    bytes of the weights that `convert` writes, by --dtype and --q-bits. contents: all tensors.
    """

    source: str
    kind: str
    family: str | None
    licence: str | None = None
    converted: bool = False
    convertible: bool = False
    problems: list[str] = field(default_factory=list)
    tensors: int = 0
    parameters: int = 0
    bytes: int = 0
    dtypes: dict[str, dict[str, int]] = field(default_factory=dict)
    quantization: Any = None
    unmatched: list[str] = field(default_factory=list)
    dead_rules: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    config_ignored: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    contents: list[TensorInfo] = field(default_factory=list, repr=False)

    def check(self) -> "Analysis":
        """Return self. Raises: CheckError if it would not convert."""
        if not self.convertible:
            raise CheckError("would not convert", where=self.source, details=self.problems)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as JSON types."""
        data = asdict(self)
        data["contents"] = [{**asdict(info), "shape": list(info.shape)} for info in self.contents]
        return data

    def rows(self) -> list[dict[str, Any]]:
        """Return a line for all tensors whose names differ only in numbers; of very many lines the first."""
        infos = {info.name: info for info in self.contents}
        lines = grouped(infos, lambda name: f"{infos[name].dtype} {list(infos[name].shape)}")
        if len(lines) > MAX_ROWS:
            lines[MAX_ROWS:] = [f"… and {len(lines) - MAX_ROWS} more kinds of names; all are in --json"]
        return [{"tensor": line} for line in lines]

    def summary(self) -> str:
        """Return the verdict, the sizes and the problems in a few lines."""
        sizes = ", ".join(f"{dtype} {row['tensors']} ({size_text(row['bytes'])})" for dtype, row in self.dtypes.items())
        written = ", ".join(f"{dtype} {size_text(size)}" for dtype, size in self.sizes.items())
        verdict = "already converted" if self.converted else "would convert"
        lines = [
            f"{self.source}: {self.kind}, family {self.family or 'unknown'}",
            *([f"licence: {self.licence}"] if self.licence else []),
            f"{count_text(self.tensors, 'tensor')}, {self.parameters:,} numbers, {size_text(self.bytes)}: {sizes}",
            *([f"converted: {written}"] if written else []),
            verdict if self.convertible else f"would not convert: {count_text(len(self.problems), 'problem')}",
            *(f"  {problem}" for problem in self.problems),
            *(f"  no rule: {line}" for line in self.unmatched),
            *(f"  no tensor: {rule}" for rule in self.dead_rules),
        ]
        if self.dropped:
            lines.append(f"{count_text(len(self.dropped), 'tensor is', 'tensors are')} left out on purpose")
        if self.config_ignored:
            lines.append(f"config.json keys that are not read: {', '.join(self.config_ignored)}")
        return "\n".join(lines)


def analyze(
    source: Any,
    example_inputs: Any = (),
    *,
    methods: Mapping[str, Any] | None = None,
    family: str | None = None,
    revision: str | None = None,
    extend: Sequence[str | Path] | None = None,
) -> Any:
    """Return what a checkpoint or a PyTorch module holds, and what would not convert and why. Nothing is written.

    source: a checkpoint (path, hub id, `packaged:NAME`), or a torch module with example_inputs, a Python factory
    `file.py:function` (it is run), a `.pt2` file, a Hugging Face model that belongs to no family here.
    methods: example inputs by method, for a module with several entry points. extend: Python files to run first,
    which register ops and modules.
    Raises: UsageError for a source or family that does not exist, FormatError for a checkpoint that cannot be opened.
    A checkpoint of no known family is an answer, not an error.
    """
    try:
        model = find_model_or_module(source, family=family, revision=revision)
        if model is not None:
            return _analyze_model(model, str(source))
    except FormatError as error:
        # An unknown family is an answer; a checkpoint that cannot be opened raises here again.
        with open_checkpoint(locate_model(source, family=family, revision=revision).path) as checkpoint:
            result = _contents(str(source), checkpoint)
        result.problems.append(str(error))
        return result
    return codegen.analyze(source, example_inputs, methods=methods, extend=extend)


def _analyze_model(model: ModelSource, source: str) -> Analysis:
    with model.open() as checkpoint:
        result = _contents(source, checkpoint)
        result.family, result.converted = model.family.name, model.converted
        result.licence = model.published.licence if model.published else None
        _check_config(result, model.family, checkpoint.config or {})
        if result.quantization is not None and model.converted:
            _count_unpacked(result)
        dtypes = {info.name: info.dtype for info in result.contents}
        if not model.converted:
            dtypes = _check_rules(result, model.family.weights, checkpoint)
        result.convertible = not result.problems
        if result.convertible:
            _add_sizes(result, model.family, checkpoint, dtypes)
    return result


def _contents(source: str, checkpoint: Checkpoint) -> Analysis:
    """Return the tensors of a checkpoint and their sizes; whether it would convert is still open."""
    result = Analysis(source, checkpoint.kind, None, contents=list(checkpoint.infos().values()))
    result.quantization = (checkpoint.config or {}).get("quantization")
    for info in result.contents:
        size = math.prod(info.shape)
        row = result.dtypes.setdefault(info.stored_dtype, {"tensors": 0, "parameters": 0, "bytes": 0})
        row["tensors"] += 1
        row["parameters"] += size
        row["bytes"] += info.nbytes
        result.tensors += 1
        result.parameters += size
        result.bytes += info.nbytes
    return result


def _count_unpacked(result: Analysis) -> None:
    """Count the numbers that quantized layers stand for, not the integers that they are packed into."""
    shapes = {info.name: math.prod(info.shape) for info in result.contents}
    scaled = {name.removesuffix(".scales") for name in shapes if name.endswith(".scales")}
    sizes = layer_sizes(result.quantization, scaled, where=result.source)
    packed = {f"{path}.{part}" for path in scaled for part in ("weight", "scales", "biases")}
    plain = sum(count for name, count in shapes.items() if name not in packed)
    result.parameters = plain + sum(shapes[f"{path}.scales"] * size["group_size"] for path, size in sizes.items())


def _add_sizes(result: Analysis, family: "AnyFamily", checkpoint: Checkpoint, dtypes: dict[str, str]) -> None:
    """Add what `convert` would write, by its own steps; a quantized folder is unpacked first."""
    config = family.config.from_dict(checkpoint.config or {})
    floats = {name: FLOATS[dtype] for name, dtype in dtypes.items() if dtype in FLOATS}
    every = sizes(lambda: family.model(config), floats, family.weights.dtype_of, family.quantizes)
    result.sizes = {kind: size for kind, size in every.items() if kind not in family.refused_dtypes}
    if result.converted and result.quantization is not None:
        result.sizes = {name: size for name, size in result.sizes.items() if name in FLOATS}
        result.sizes["as stored"] = sum(file.size for file in checkpoint.files)


def _check_rules(result: Analysis, weight_map: WeightMap, checkpoint: Checkpoint) -> dict[str, str]:
    """Add what does not match a rule to the problems; return the dtype of every weight that rules write."""
    infos = checkpoint.infos()
    plan = make_plan(weight_map, infos)
    result.unmatched = grouped(plan.unmatched, lambda n: f"{infos[n].dtype} {list(infos[n].shape)}")
    result.dead_rules = plan.dead
    result.dropped = {step.sources[0]: step.rule.why for step in plan.steps if step.rule.kind == "drop"}
    for names, one, many in (
        (plan.unmatched, "tensor matches no rule", "tensors match no rule"),
        (plan.dead, "rule matches no tensor", "rules match no tensor"),
        (plan.twice, "tensor matches two rules", "tensors match two rules"),
        (plan.clashes, "weight is written by two rules", "weights are written by two rules"),
    ):
        result.problems += [count_text(len(names), one, many)] if names else []
    result.problems += plan.incomplete
    dtypes = {}
    for step in plan.steps:
        read = {infos[plan.aliases.get(name, name)].dtype for name in step.sources}
        dtype = next((name for name in FLOATS if name in read), min(read))
        dtypes |= dict.fromkeys(step.targets, dtype)
    return dtypes


def _check_config(result: Analysis, family: "AnyFamily", config: dict[str, Any]) -> None:
    """Read the sizes as the family does, and note the keys that it does not read."""
    try:
        family.config.from_dict(config)
    except FormatError as error:
        result.problems.append(str(error))
    result.config_ignored = family.unread_keys(config)
