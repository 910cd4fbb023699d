"""The complete story of every tensor of an openWakeWord release: one ONNX file for each network.

`open_release` puts the files of a folder together under `mel.`, `embedding.` and `keywords.NAME.`; a classifier's
tensors come under the names of their place in it, which `graph` finds.
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
OTHERS = {"silero_vad"}  # released beside them, another model
RELEASED = "mel.0.stft.conv_real.weight"


def lstm(side: str, ours: str) -> tuple[Rule, ...]:
    here, there = "keywords.*.lstm", f"keywords.*.lstms.{{}}.{ours}"
    biases = (f"{here}.bias_ih_l{{}}{side}", f"{here}.bias_hh_l{{}}{side}")
    return (
        rename(f"{here}.weight_ih_l{{}}{side}", f"{there}.Wx", optional=True),
        rename(f"{here}.weight_hh_l{{}}{side}", f"{there}.Wh", optional=True),
        fold(biases, f"{there}.bias", LSTM_BIAS, optional=True),
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
    fold((RELEASED, "mel.0.stft.conv_imag.weight"), "mel.stft.weight", CONCAT, CONV1D),  # OIK -> OKI
    rename("mel.1.melW", "mel.filters"),
    # the first of TensorFlow's twenty has no number
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
    """The networks of a folder, or of the folder around one classifier, with that one alone.

    Raises: FormatError for a folder without the two networks that all keywords share, and for a file that is not a
    classifier of openWakeWord.
    """
    folder = path if path.is_dir() else path.parent
    shared = [folder / f"{name}.onnx" for name in (MEL, EMBEDDING)]
    if missing := [file.name for file in shared if not file.is_file()]:
        raise FormatError(
            f"there is no {' and no '.join(missing)}", where=folder, fix="put them beside the classifiers"
        )
    known = {MEL, EMBEDDING, *OTHERS}
    files = [path] if path.is_file() and path.stem not in known else sorted(folder.glob("*.onnx"))
    with ExitStack() as stack:
        mel, embedding = (stack.enter_context(open_checkpoint(file)) for file in shared)
        for file, check in zip(shared, (graph.check_mel, graph.check_embedding), strict=True):
            with graph.opened(file) as read:
                check(read)
        entries = {f"mel.{name}": entry for name, entry in mel.entries.items()}
        entries |= {f"embedding.{name}": entry for name, entry in embedding.entries.items()}
        channels = embedding_channels(embedding)
        keywords = []
        opened = [mel, embedding]
        for file in files:
            if file.stem not in known:
                keyword, checkpoint = open_keyword(file, channels[-1])
                opened.append(stack.enter_context(checkpoint))
                entries |= checkpoint.entries
                keywords.append(keyword)
        config = config_of(keywords, channels, where=folder)
        stack.pop_all()
    every = [file for checkpoint in opened for file in checkpoint.files]
    return Checkpoint(str(path), "onnx", renamed(entries), folder=folder, config=config, files=every)


def embedding_channels(embedding: Checkpoint) -> tuple[int, ...]:
    """The widths of the five stages of the embedding network. Raises FormatError where they cannot be told."""
    shapes = {name: info.shape for name, info in embedding.infos().items()}
    try:
        return tuple(shapes[f"model.conv2d_{number}.weight"][0] for number in (1, 3, 7, 11, 15))
    except (KeyError, IndexError):
        raise FormatError("it has not the convolutions of the embedding model", where=embedding.source) from None


def config_of(keywords: list[Keyword], channels: tuple[int, ...], *, where: Path) -> dict[str, Any]:
    """config.json. Raises FormatError for keywords that cannot stand side by side."""
    try:
        return {"model_type": "wakeword", **asdict(Config(tuple(keywords), channels))}
    except ValueError as error:
        raise FormatError(str(error), where=where, fix="rename one of the files") from None


def open_keyword(path: Path, feature_size: int) -> tuple[Keyword, Checkpoint]:
    """One classifier from its ONNX file, its tensors under `keywords.NAME.` and the names of their place."""
    name = graph.keyword_name(path)
    checkpoint = open_checkpoint(path)
    with ExitStack() as stack, graph.opened(path) as read:
        stack.callback(checkpoint.close)
        if checkpoint.kind != "onnx":
            raise FormatError(
                f"is {checkpoint.kind}; classifiers are .onnx, or .safetensors that `train` wrote", where=path
            )
        try:
            keyword, layers = graph.read_keyword(read, name, feature_size)
            keyword = from_dict(Keyword, asdict(keyword), where=path)  # its numbers may be out of range
        except ValueError as error:
            raise graph.unknown(read, str(error)) from None
        lost = sorted(set(layers.values()) - checkpoint.entries.keys()) + sorted(
            checkpoint.entries.keys() - set(layers.values())
        )
        if lost:
            raise graph.unknown(read, f"what {lost[0]!r} is for is not known")
        entries = {f"keywords.{name}.{ours}": checkpoint.entries[theirs] for ours, theirs in layers.items()}
        checkpoint.entries = renamed(entries)
        stack.pop_all()
    return keyword, checkpoint


def renamed(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Entries whose headers say the names that they are kept under."""
    return {name: replace(entry, info=replace(entry.info, name=name)) for name, entry in entries.items()}
