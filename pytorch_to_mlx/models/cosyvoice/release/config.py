"""Read a release's yaml and its Qwen2 config.json into our config: every number is named, everything else checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....checkpoint import read_config
from ....checkpoint.files import quote
from ....checkpoint.yaml_safe import Node, read_yaml
from ....errors import FormatError, UnsafeError
from ..versions import Version

QWEN_FIELDS = (
    "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads vocab_size "
    "rms_norm_eps rope_theta"
).split()
QWEN_EXPECTED = {"model_type": "qwen2", "hidden_act": "silu", "use_sliding_window": False, "rope_scaling": None}


class _Targets(frozenset):
    """Everything that a released yaml may name, its training part included; none of it is ever imported."""

    def __contains__(self, target: object) -> bool:
        return super().__contains__(target) or str(target).startswith(("cosyvoice.", "matcha."))


ALLOWED_TARGETS = _Targets((
    "random.seed", "numpy.random.seed", "torch.manual_seed", "torch.cuda.manual_seed_all", "omegaconf.DictConfig",
    "whisper.tokenizer.get_tokenizer",
))  # fmt: skip
_ABSENT = object()


def release_config(folder: Path, version: Version) -> dict[str, Any]:
    """Return our nested config of the language model, flow, vocoder and mel; for the two ONNX parts see sizes.py.

    Raises: UnsafeError if the yaml names anything outside the release; FormatError listing every missing number and
    every value that the port was not made for.
    """
    yaml = _read(folder / version.yaml)
    config: dict[str, Any] = {}
    problems = []
    if version.qwen_folder:
        where = f"{version.qwen_folder}/config.json"
        problems += _take_qwen(read_config(folder / version.qwen_folder), config, where)
    wrong_classes = _check_classes(yaml, version.classes)
    missing = _take_fields(yaml, config, version.fields)
    # Under another class every field is missing: the class alone is reported.
    problems += wrong_classes or missing
    problems += _check_expected(yaml, config, {"token_frame_rate": version.token_rate, **version.expected})
    problems += _check_widths(yaml, config)
    if problems:
        raise FormatError(
            f"{len(problems)} {'value is' if len(problems) == 1 else 'values are'} not those of {version.name}",
            where=folder / version.yaml,
            fix="use the yaml of the release that the weights belong to",
            details=problems,
        )
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path, allowed=ALLOWED_TARGETS)
    except UnsafeError as error:
        fix = "take the yaml of the original release, or remove that line"
        raise UnsafeError(error.what, where=error.where, fix=fix) from None


def _take_qwen(qwen: Mapping[str, Any], config: dict[str, Any], where: str) -> list[str]:
    """Put Qwen2's sizes into `config`; return what is missing or not supported."""
    for name in QWEN_FIELDS:
        if name in qwen:
            _put(config, f"lm.{name}", qwen[name])
    missing = [f"{where}: {name} is missing" for name in QWEN_FIELDS if name not in qwen]
    return missing + [
        f"{where}: {key} is {quote(qwen[key])}, this port was made for {value!r}"
        for key, value in QWEN_EXPECTED.items()
        if qwen.get(key, value) != value
    ]


def _check_classes(yaml: dict[str, Any], classes: Mapping[str, str]) -> list[str]:
    problems = []
    for where, target in classes.items():
        node = _at(yaml, where)
        name = node.target if isinstance(node, Node) else "missing"
        if name != target:
            problems.append(f"{where} is {quote(name)}, this port was made for {target}")
    return problems


def _take_fields(yaml: dict[str, Any], config: dict[str, Any], fields: Mapping[str, str]) -> list[str]:
    """Put the yaml's numbers into `config` under our names; return which are missing."""
    missing = []
    for ours, theirs in fields.items():
        value = _at(yaml, theirs)
        if value is _ABSENT:
            missing.append(f"{theirs} is missing")
        else:
            _put(config, ours, value)
    return missing


def _check_expected(yaml: dict[str, Any], config: dict[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Compare values that are present; "=NAME" stands for the value of our field NAME."""
    problems = []
    for theirs, required in expected.items():
        required = (
            [_value(config, item) for item in required] if isinstance(required, list) else _value(config, required)
        )
        value = _at(yaml, theirs)
        if value is not _ABSENT and (type(value), value) != (type(required), required):
            problems.append(f"{theirs} is {quote(value)}, this port was made for {required!r}")
    return problems


def _value(config: dict[str, Any], required: Any) -> Any:
    """Return what a value of the yaml must be."""
    is_name = isinstance(required, str) and required.startswith("=")
    return _at(config, required[1:]) if is_name else required


def _check_widths(yaml: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """Check the estimator's widths, which the yaml gives as products and lists."""
    problems = []
    where = "flow.decoder.estimator"
    n_mels, chunk, ratio = (_at(config, f"flow.{name}") for name in ("n_mels", "chunk_size", "token_mel_ratio"))
    sizes = [("out_channels", 1, "output_size")]
    if _at(config, "flow.estimator.channels") is not _ABSENT:  # a U-Net, whose yaml also gives its input
        sizes.append(("in_channels", 4, "4 * output_size"))
    for name, factor, meaning in sizes:
        channels = _at(yaml, f"{where}.{name}")
        if isinstance(n_mels, int) and channels != factor * n_mels:
            problems.append(f"{where}.{name} is {quote(channels)}, this port was made for {meaning}")
    if chunk is _ABSENT:  # version 1 has no chunks
        return problems
    channels = _at(yaml, f"{where}.channels")
    if isinstance(channels, list) and len(channels) != 1:
        problems.append(f"{where}.channels is {quote(channels)}, this port was made for one number")
    frames = _at(yaml, f"{where}.static_chunk_size")
    if isinstance(frames, Node):  # a product of two names, which read_yaml leaves as it is
        products = {"<chunk_size>*<token_mel_ratio>", "<token_mel_ratio>*<chunk_size>"}
        agrees = frames.target.replace(" ", "") in products
        agrees = agrees and _at(yaml, "chunk_size") == chunk and _at(yaml, "token_mel_ratio") == ratio
    else:
        agrees = isinstance(chunk, int) and isinstance(ratio, int) and frames == chunk * ratio
    if not agrees:
        problems.append(f"{where}.static_chunk_size is not the encoder's chunk times token_mel_ratio")
    return problems


def _at(value: Any, path: str) -> Any:
    """Return the value at a dotted path, through yaml tags; _ABSENT if there is none."""
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
