"""What wake words add to the command line: `detect`, `keywords` and `train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...outputs import check_destination, check_figure, write_figure
from ...progress import note
from .card import CARD

if TYPE_CHECKING:
    from ...audio.recordings import Lines
    from .pipeline import Detections


def detect(
    audio: list[str] | None = None,
    *,
    keyword: list[str] | None = None,
    model: str | None = None,
    threshold: float = 0.5,
    patience: int = 1,
    refractory: float = 1.0,
    padding: float = 1.0,
    raw: bool = False,
    sample_rate: int = 16_000,
    microphone: bool = False,
    device: str | None = None,
    plot: Path | None = None,
    revision: str | None = None,
) -> Any:
    """Listen for wake words in recordings, in raw audio from stdin, or to the microphone.

    Recordings give a line for each detection, and with --json the score of every keyword in every frame of 80 ms.
    Raw audio and the microphone give a line as soon as a word is detected.

    Args:
        audio: audio files, or - for stdin
        keyword: what to listen for: a name that `keywords` shows, or a .safetensors or .onnx file; by default all
        patience: consecutive frames that must reach the threshold
        refractory: seconds after a detection in which the same word is not detected again
        padding: seconds of silence put around a recording
        raw: stdin is raw audio without end: 16-bit little-endian, one channel
        sample_rate: of raw audio, in Hz
        microphone: listen to the microphone until interrupted
        device: which microphone, by number or name
        plot: also draw the scores of a recording into this file (.png, .svg, .pdf)

    Example: pytorch-to-mlx wakeword detect recording.wav --keyword hey_jarvis --plot scores.png
    """
    from ...audio import live
    from ...audio.recordings import Recordings, check_inputs, read_input
    from ...checkpoint import locate
    from .config import SAMPLE_RATE
    from .pipeline import load

    kind = live.input_kind(audio or [], raw=raw, microphone=microphone)
    if kind is None:
        raise UsageError("give audio files, or --raw, or --microphone")
    if plot is not None and (kind != "files" or len(audio or []) != 1):
        raise UsageError("--plot draws one recording")
    if plot is not None:
        check_figure(plot)
    if kind == "files":
        check_inputs(audio or [])
    pipeline = load(locate(model, (CARD,), revision=revision).path)
    if keyword:
        pipeline.select(keyword)
    note(f"listening for: {', '.join(pipeline.labels)}")
    rules = {"threshold": threshold, "patience": patience, "refractory_s": refractory}
    if kind == "raw":
        return pipeline.listen(live.from_stdin(SAMPLE_RATE, raw_rate=sample_rate), **rules)
    if kind == "microphone":
        blocks = live.from_microphone(SAMPLE_RATE, device=live.parse_device(device))
        return live.until_interrupted(pipeline.listen(blocks, **rules))

    def detect_one(name: str, printed: bool) -> "Lines":
        recording = pipeline.detect(read_input(name), padding_s=padding, **rules)
        if plot is not None:
            draw(recording, plot, threshold)
        yield from recording.lines()
        return recording.to_dict()

    return Recordings(audio or [], detect_one)


def draw(recording: "Detections", path: Path, threshold: float) -> None:
    """Draw the score of every label over time into a picture file.

    Raises: what `outputs.write_figure` raises.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="s", ylabel="score", ylim=(-0.02, 1.02), title=Path(recording.audio).name)
    for label, scores in zip(recording.labels, recording.scores.T, strict=True):
        axes.plot(recording.times_s, scores, label=label)
    axes.axhline(threshold, color="gray", linestyle="--", linewidth=1)
    for detection in recording.detections:
        axes.axvline(detection.time_s, color="gray", linewidth=1)
    axes.legend(loc="upper left")
    write_figure(figure, path)


def keywords(*, model: str | None = None, revision: str | None = None) -> list[dict[str, Any]]:
    """List the keywords of a model: the words they detect, and how many seconds of audio they look back.

    Example: pytorch-to-mlx wakeword keywords
    """
    from ...checkpoint import locate
    from ...weights import is_converted
    from .config import Config
    from .weights import open_release

    path = locate(model, (CARD,), revision=revision).path
    if is_converted(path):
        from ...checkpoint import read_config

        config = read_config(path)
    else:
        with open_release(path) as checkpoint:
            config = checkpoint.config or {}
    return [
        {
            "keyword": keyword.name,
            "hears": [label for label in keyword.labels if label],
            "seconds": round(keyword.num_frames * 0.08 + 0.7, 2),
            "kind": keyword.kind + (" with verifier" if keyword.verifier_sizes else ""),
        }
        for keyword in Config.from_dict(config).keywords
    ]


def train(
    *,
    positive: Path,
    negative: Path,
    name: str,
    output: Path | None = None,
    model: str | None = None,
    hidden: int = 32,
    steps: int = 1500,
    variants: int = 8,
    threshold: float = 0.5,
    seed: int = 0,
    force: bool = False,
) -> Any:
    """Train a new keyword from clips of it and recordings of anything else, for `detect --keyword FILE`.

    One fifth of both is held out; the report says in how many of those clips the word is detected, and how often it is
    detected where it was not said.

    Args:
        positive: folder of clips, each the word once
        negative: folder of recordings without the word
        name: what the keyword is called
        output: the file to write; by default NAME.safetensors
        hidden: width of the two layers
        steps: steps of training
        variants: copies of each clip, each shifted and over another background
        threshold: score from which the word counts as detected in a held-out clip

    Example: pytorch-to-mlx wakeword train --positive hey_seed/ --negative speech/ --name hey_seed
    """
    from ...checkpoint import locate
    from . import train as training

    output = Path(f"{name}.safetensors") if output is None else output
    check_destination(output, regular=True)
    if output.exists() and not force:
        raise UsageError("the file exists", where=output, fix="give --force to replace it")
    return training.train(
        locate(model, (CARD,)).path,
        positive,
        negative,
        output,
        name=name,
        hidden=hidden,
        steps=steps,
        variants=variants,
        threshold=threshold,
        seed=seed,
    )
