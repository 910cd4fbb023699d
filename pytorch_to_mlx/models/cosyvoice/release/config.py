"""From cosyvoice2.yaml and CosyVoice-BlankEN/config.json to our config: every number named, everything else checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoint import read_config
from ....checkpoint.files import quote
from ....checkpoint.yaml_safe import Node, read_yaml
from ....errors import FormatError, UnsafeError
from .v2 import BLANK, CLASSES, EXPECTED, FIELDS, QWEN, QWEN_EXPECTED, YAML


class _Known(frozenset):
    """What a released yaml names, its training part too; nothing of it is ever imported."""

    def __contains__(self, target: object) -> bool:
        return super().__contains__(target) or str(target).startswith(("cosyvoice.", "matcha."))


TARGETS = _Known(
    ("random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all", "omegaconf.DictConfig")
)


def release_config(folder: Path) -> dict[str, Any]:
    """The nested config of the language model, flow, vocoder and mel; the ONNX parts' are in their shapes.

    Raises: UnsafeError if the yaml names anything outside the release; FormatError listing every missing number and
    every value that the port was not made for.
    """
    yaml = _read(folder / YAML)
    blank = read_config(folder / BLANK)
    problems: list[str] = []
    config: dict[str, Any] = {}
    for name in QWEN:
        if name in blank:
            _put(config, f"lm.{name}", blank[name])
        else:
            problems.append(f"{BLANK}/config.json: {name} is missing")
    for key, value in QWEN_EXPECTED.items():
        if blank.get(key, value) != value:
            problems.append(f"{BLANK}/config.json: {key} is {quote(blank[key])}, this port was made for {value!r}")
    for where, target in CLASSES.items():
        found = _at(yaml, where)
        if not isinstance(found, Node) or found.target != target:
            named = found.target if isinstance(found, Node) else "missing"
            problems.append(f"{where} is {quote(named)}, this port was made for {target}")
    for ours, theirs in FIELDS.items():
        value = _at(yaml, theirs)
        if value is not _ABSENT:
            _put(config, ours, value)
        elif not any(line.startswith(f"{part} is ") for line in problems for part in CLASSES):
            problems.append(f"{theirs} is missing")
    for theirs, wanted in EXPECTED.items():
        if isinstance(wanted, str) and wanted.startswith("="):
            wanted = _at(config, wanted[1:])
        found = _at(yaml, theirs)
        if found is not _ABSENT and (type(found), found) != (type(wanted), wanted):
            problems.append(f"{theirs} is {quote(found)}, this port was made for {wanted!r}")
    _check_widths(yaml, config, problems)
    if problems:
        raise FormatError(
            f"{len(problems)} {'value is' if len(problems) == 1 else 'values are'} not those of CosyVoice 2",
            where=folder / YAML,
            fix="use the yaml of the release that the weights belong to",
            details=problems,
        )
    return config


_ABSENT = object()


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path, allowed=TARGETS)
    except UnsafeError as error:
        fix = "take the yaml of the original release, or remove that line"
        raise UnsafeError(error.what, where=error.where, fix=fix) from None


def _at(value: Any, path: str) -> Any:
    """The value at a dotted path, through tags; _ABSENT if there is none."""
    for key in path.split("."):
        value = value.args if isinstance(value, Node) else value
        if isinstance(value, Mapping):
            value = value.get(key, _ABSENT)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def _put(config: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[name] = value


def _check_widths(yaml: dict[str, Any], config: dict[str, Any], problems: list[str]) -> None:
    """What the yaml says in products and lists."""
    n_mels, chunk = _at(config, "flow.n_mels"), _at(config, "flow.chunk_size")
    ratio = _at(config, "flow.token_mel_ratio")
    products = {"in_channels": ("4 * output_size", 4, n_mels), "out_channels": ("output_size", 1, n_mels)}
    for name, (meaning, factor, number) in products.items():
        found = _at(yaml, f"flow.decoder.estimator.{name}")
        if isinstance(number, int) and found != factor * number:
            problems.append(f"flow.decoder.estimator.{name} is {quote(found)}, this port was made for {meaning}")
    channels = _at(yaml, "flow.decoder.estimator.channels")
    if isinstance(channels, list) and len(channels) != 1:
        problems.append(f"flow.decoder.estimator.channels is {quote(channels)}, this port was made for one number")
    frames = _at(yaml, "flow.decoder.estimator.static_chunk_size")
    if isinstance(frames, Node):
        said = {"<chunk_size>*<token_mel_ratio>", "<token_mel_ratio>*<chunk_size>"}
        agrees = frames.target.replace(" ", "") in said
        agrees = agrees and _at(yaml, "chunk_size") == chunk and _at(yaml, "token_mel_ratio") == ratio
    else:
        agrees = isinstance(chunk, int) and isinstance(ratio, int) and frames == chunk * ratio
    if not agrees:
        problems.append("flow.decoder.estimator.static_chunk_size is not the encoder's chunk times token_mel_ratio")
