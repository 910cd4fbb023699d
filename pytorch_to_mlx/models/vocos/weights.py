"""The rules for every tensor of Vocos, and the sizes in its config.yaml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checkpoint import Checkpoint
from ...checkpoint.files import quote
from ...checkpoint.yaml_safe import read_yaml
from ...errors import FormatError
from ...weights import CONV1D, WeightMap, drop, rename
from ...weights.original import open_original

CONFIG = "config.yaml"
_BLOCK = "backbone.convnext.{}"
WEIGHTS = WeightMap(
    rename("backbone.embed.*", "embed.*", CONV1D),
    rename("backbone.norm.*", "norm.*"),
    rename(f"{_BLOCK}.dwconv.*", "layers.{}.conv.*", CONV1D),
    rename(f"{_BLOCK}.norm.*", "layers.{}.norm.*"),
    rename(f"{_BLOCK}.pwconv1.*", "layers.{}.up_proj.*"),
    rename(f"{_BLOCK}.pwconv2.*", "layers.{}.down_proj.*"),
    rename(f"{_BLOCK}.gamma", "layers.{}.gamma"),
    rename("backbone.final_layer_norm.*", "final_norm.*"),
    rename("head.out.*", "out_proj.*"),
    drop("head.istft.window", why="a Hann window, computed", optional=True),
    drop("feature_extractor.mel_spec.spectrogram.window", why="a Hann window, computed", optional=True),
    drop("feature_extractor.mel_spec.mel_scale.fb", why="mel filters, computed", optional=True),
    file=__file__,
)
# What each part of the yaml builds, and which of its arguments are ours.
_PARTS: dict[str, tuple[str, dict[str, str]]] = {
    "feature_extractor": (
        "vocos.feature_extractors.MelSpectrogramFeatures",
        {"sample_rate": "sample_rate", "n_fft": "n_fft", "hop_length": "hop_length", "n_mels": "n_mels"},
    ),
    "backbone": (
        "vocos.models.VocosBackbone",
        {"input_channels": "n_mels", "dim": "hidden_size", "intermediate_dim": "intermediate_size",
         "num_layers": "num_layers"},
    ),
    "head": (
        "vocos.heads.ISTFTHead",
        {"dim": "hidden_size", "n_fft": "n_fft", "hop_length": "hop_length", "padding": "padding"},
    ),
}  # fmt: skip
_DEFAULTS = {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"}
_HEAD_DEFAULTS = {"padding": "same"}


def open_release(path: Path) -> Checkpoint:
    """Open a checkpoint of the original, with the sizes of the config.yaml beside it as its `config`.

    Raises: FormatError for another vocoder's, and for a config.yaml of other parts.
    """
    checkpoint = open_original(path, WEIGHTS)
    try:
        folder = path if path.is_dir() else path.parent
        sizes = sizes_of({name: info.shape for name, info in checkpoint.infos().items()}, checkpoint.source)
        if (folder / CONFIG).is_file():
            sizes |= config_of(read_yaml(folder / CONFIG), sizes, folder / CONFIG)
    except FormatError:
        checkpoint.close()
        raise
    checkpoint.config = {"model_type": "vocos", **sizes}
    return checkpoint


def sizes_of(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """Return the sizes that the tensors' shapes give. Raises: FormatError for another network's tensors."""
    if any(name.startswith("feature_extractor.encodec.") or ".norm.scale." in name for name in shapes):
        raise FormatError(
            "a Vocos for EnCodec's tokens, not for mels", where=where, fix="the one of F5-TTS is vocos-mel-24khz"
        )
    try:
        hidden_size, n_mels, _ = shapes["backbone.embed.weight"]
        intermediate_size, _ = shapes["backbone.convnext.0.pwconv1.weight"]
        n_bins, _ = shapes["head.out.weight"]
    except (KeyError, ValueError):
        raise FormatError("not a checkpoint of Vocos", where=where) from None
    num_layers = sum(name.startswith("backbone.convnext.") and name.endswith(".gamma") for name in shapes)
    return {
        "n_mels": n_mels,
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_layers": num_layers,
        "n_fft": n_bins - 2,
        "hop_length": max((n_bins - 2) // 4, 1),
    }


def config_of(yaml: Mapping[str, Any], sizes: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Return what a config.yaml adds to the sizes of the tensors: hop, rate and padding.

    Raises: FormatError for other parts, and where the two disagree.
    """
    values: dict[str, Any] = {}
    problems = []
    for part, (kind, names) in _PARTS.items():
        entry = yaml.get(part)
        if not isinstance(entry, Mapping) or entry.get("class_path") != kind:
            named = entry.get("class_path") if isinstance(entry, Mapping) else entry
            problems.append(f"{part} is {quote(named)}; this port was made for {kind}")
            continue
        args = entry.get("init_args")
        args = {
            **_DEFAULTS,
            **(_HEAD_DEFAULTS if part == "head" else {}),
            **(args if isinstance(args, Mapping) else {}),
        }
        for theirs, ours in names.items():
            if theirs not in args:
                continue
            known = values.get(ours, sizes.get(ours)) if ours != "hop_length" else values.get(ours)
            if known is not None and args[theirs] != known:
                problems.append(f"{part}: {theirs} is {args[theirs]!r:.40}, elsewhere and in the tensors {known}")
            values[ours] = args[theirs]
    if problems:
        raise FormatError("this configuration is not of the checkpoint", where=where, details=problems)
    return values
