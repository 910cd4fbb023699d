"""The rules for every tensor of an openWakeWord release, which has one ONNX file for each network.

`open_release` joins the files of a folder under `mel.`, `embedding.` and `keywords.NAME.`; the tensors of a classifier
are named by their place in it, which `graph` recognises.
"""

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...checkpoint import Checkpoint, open_checkpoint
from ...checkpoint.base import Entry
from ...config import from_dict
from ...errors import FormatError
from ...weights import CONCAT, CONV1D, CONV2D, LSTM_BIAS, Rule, WeightMap, fold, rename
from . import graph
from .config import Config, Keyword

MEL, EMBEDDING = "melspectrogram", "embedding_model"
OTHERS = {"silero_vad"}  # another model in the same folder


def lstm(suffix: str, direction: str) -> tuple[Rule, ...]:
    """Return the rules of one direction of the LSTMs."""
    theirs, ours = "keywords.*.lstm", f"keywords.*.lstms.{{}}.{direction}"
    biases = (f"{theirs}.bias_ih_l{{}}{suffix}", f"{theirs}.bias_hh_l{{}}{suffix}")
    return (
        rename(f"{theirs}.weight_ih_l{{}}{suffix}", f"{ours}.Wx", optional=True),
        rename(f"{theirs}.weight_hh_l{{}}{suffix}", f"{ours}.Wh", optional=True),
        fold(biases, f"{ours}.bias", LSTM_BIAS, optional=True),
    )


KEYWORDS = WeightMap(
    *(
        rename(f"keywords.*.{part}.{kind}.{{}}.*", f"keywords.*.{part}.{kind}s.{{}}.*", optional=True)
        for part in ("dense", "verifier")
        for kind in ("linear", "norm")
    ),
    *lstm("", "forward"),
    *lstm("_reverse", "backward"),
    rename("keywords.*.out.*", "keywords.*.out.*", optional=True),
    file=__file__,
)
"""The classifiers alone, as `--keyword mine.onnx` reads them."""

WEIGHTS = WeightMap(
    fold(
        ("mel.0.stft.conv_real.weight", "mel.0.stft.conv_imag.weight"), "mel.stft.weight", CONCAT, CONV1D
    ),  # OIK -> OKI
    rename("mel.1.melW", "mel.filters"),
    # TensorFlow numbers the twenty convolutions from the second on
    rename("embedding.model.conv2d.weight", "embedding.convs.0.weight", CONV2D),  # OIHW -> OHWI
    rename("embedding.model.conv2d.bias", "embedding.convs.0.bias"),
    *(
        rule
        for number in range(1, 20)
        for rule in (
            rename(f"embedding.model.conv2d_{number}.weight", f"embedding.convs.{number}.weight", CONV2D),
            *(
                [rename(f"embedding.model.conv2d_{number}.bias", f"embedding.convs.{number}.bias")]
                if number < 19
                else []
            ),
        )
    ),
    *KEYWORDS.rules,
    keep_float32=("mel.**",),  # powers of 16-bit numbers are beyond float16
    file=__file__,
)


def open_release(path: Path) -> Checkpoint:
    """Open the networks of a folder; for the file of one classifier, the folder's shared networks and that one alone.

    Raises: FormatError for a folder without the two networks that all keywords share, and for a file that is not a
    classifier of openWakeWord.
    """
    folder = path if path.is_dir() else path.parent
    shared = [folder / f"{name}.onnx" for name in (MEL, EMBEDDING)]
    if missing := [file.name for file in shared if not file.is_file()]:
        raise FormatError(
            f"there is no {' and no '.join(missing)}", where=folder, fix="put them beside the classifiers"
        )
    not_classifiers = {MEL, EMBEDDING, *OTHERS}
    files = [path] if path.is_file() and path.stem not in not_classifiers else sorted(folder.glob("*.onnx"))
    with ExitStack() as stack:
        mel, embedding = (stack.enter_context(open_checkpoint(file)) for file in shared)
        for file, check in zip(shared, (graph.check_mel, graph.check_embedding), strict=True):
            with graph.open_graph(file) as nodes:
                check(nodes)
        entries = {f"mel.{name}": entry for name, entry in mel.entries.items()}
        entries |= {f"embedding.{name}": entry for name, entry in embedding.entries.items()}
        channels = embedding_channels(embedding)
        keywords = []
        checkpoints = [mel, embedding]
        for file in files:
            if file.stem not in not_classifiers:
                keyword, checkpoint = open_keyword(file, channels[-1])
                checkpoints.append(stack.enter_context(checkpoint))
                entries |= checkpoint.entries
                keywords.append(keyword)
        config = config_of(keywords, channels, where=folder)
        stack.pop_all()
    all_files = [file for checkpoint in checkpoints for file in checkpoint.files]
    return Checkpoint(str(path), "onnx", named(entries), folder=folder, config=config, files=all_files)


def embedding_channels(embedding: Checkpoint) -> tuple[int, ...]:
    """Return the widths of the five stages of the embedding network. Raises: FormatError for another network."""
    shapes = {name: info.shape for name, info in embedding.infos().items()}
    try:
        return tuple(shapes[f"model.conv2d_{number}.weight"][0] for number in (1, 3, 7, 11, 15))
    except (KeyError, IndexError):
        raise FormatError("not the embedding model: convolutions differ", where=embedding.source) from None


def config_of(keywords: list[Keyword], channels: tuple[int, ...], *, where: Path) -> dict[str, Any]:
    """Return config.json. Raises: FormatError for keywords with the same name or label."""
    try:
        return {"model_type": "wakeword", **asdict(Config(tuple(keywords), channels))}
    except ValueError as error:
        raise FormatError(str(error), where=where, fix="rename one of the files") from None


def open_keyword(path: Path, feature_size: int) -> tuple[Keyword, Checkpoint]:
    """Open one classifier's ONNX file, with its tensors under `keywords.NAME.` and the names of their places.

    Raises: FormatError for a file that is not a classifier of openWakeWord.
    """
    name = graph.keyword_name(path)
    checkpoint = open_checkpoint(path)
    with ExitStack() as stack, graph.open_graph(path) as nodes:
        stack.callback(checkpoint.close)
        if checkpoint.kind != "onnx":
            raise FormatError(f"is {checkpoint.kind}; classifiers are .onnx, or .safetensors from `train`", where=path)
        try:
            keyword, layers = graph.read_keyword(nodes, name, feature_size)
            keyword = from_dict(Keyword, asdict(keyword), where=path)  # its numbers may be out of range
        except ValueError as error:
            raise graph.unknown(nodes, str(error)) from None
        if missing := sorted(set(layers.values()) - checkpoint.entries.keys()):
            raise graph.unknown(nodes, f"it has no weight {missing[0]!r}")
        if unused := sorted(checkpoint.entries.keys() - set(layers.values())):
            raise graph.unknown(nodes, f"no layer uses its weight {unused[0]!r}")
        entries = {f"keywords.{name}.{ours}": checkpoint.entries[theirs] for ours, theirs in layers.items()}
        checkpoint.entries = named(entries)
        stack.pop_all()
    return keyword, checkpoint


def named(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return the entries with their keys as the names in their headers."""
    return {name: replace(entry, info=replace(entry.info, name=name)) for name, entry in entries.items()}
