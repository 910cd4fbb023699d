"""What heads on Whisper's encoder add to the command line: `train-head` and `head`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .card import CARD

if TYPE_CHECKING:
    from ...audio.recordings import Lines


def train_head(
    name: str,
    /,
    *,
    data: Path,
    output: Path,
    model: str | None = None,
    features: Path | None = None,
    epochs: int = 20,
    batch_s: float = 24.0,
    learning_rate: float = 2e-3,
    warmup: float = 0.05,
    weight_decay: float = 0.05,
    clip_norm: float = 1.0,
    patience: int = 5,
    save_every: int = 200,
    augment: bool = True,
    pieces: int = 512,
    seed: int = 0,
    plot: Path | None = None,
    revision: str | None = None,
    force: bool = False,
) -> Any:
    """Train a small head on Whisper's frozen encoder, and measure it on speakers and texts that it has not met.

    The encoder runs once over every recording; its features are kept on disk for other heads and other seeds. A run
    that was killed goes on where it was when the same command is given again, to the same weights. What cannot be used
    of the data is listed and left out.

    Args:
        name: ctc, drafts, phonemes, pitch, singing, language, sounds, emotion, or multi for all in one
        data: manifest, a JSONL file: audio, text, phonemes, labels, spans, f0, speaker, split of each recording
        output: the file to write, .safetensors
        model: a Whisper, as `transcribe` takes it
        features: folder for the features; by default beside the manifest
        epochs: passes over the training part, at most
        batch_s: seconds of audio in a batch
        learning_rate: the highest rate, after the warm-up
        warmup: share of the training in which the rate rises; then it falls along a cosine
        weight_decay: of AdamW
        clip_norm: largest norm of the gradients
        patience: epochs without a better score after which training ends
        save_every: steps between two saved states
        augment: hide some frames and channels of the features at random (SpecAugment)
        pieces: labels of the head `drafts`
        plot: also draw the curves of loss and score into this file (.png, .svg, .pdf)

    Example: pytorch-to-mlx whisper train-head ctc --data speech/manifest.jsonl --output ctc.safetensors --plot ctc.png
    """
    from ...checkpoint import locate
    from ...heads.card import head_card
    from ...heads.train import Options
    from ...heads.train_head import train_head as train
    from .pipeline import load
    from .trunk import EncoderTrunk

    head_card(name)
    if not 2 <= pieces <= 1000:
        raise UsageError(f"pieces must be between 2 and 1000, not {pieces}")
    options = Options(
        epochs=epochs,
        batch_s=batch_s,
        learning_rate=learning_rate,
        warmup=warmup,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        save_every=save_every,
        augment=augment,
        seed=seed,
    )
    if not data.is_file():
        raise UsageError("there is no such file", where=data)
    trunk = EncoderTrunk(load(locate(model, (CARD,), revision=revision).path).model)
    return train(
        trunk,
        name,
        data,
        output,
        features=features,
        plot=plot,
        options=options,
        n_pieces=pieces,
        force=force,
    )


def head(
    audio: list[str],
    *,
    head: list[Path],
    model: str | None = None,
    beam_size: int = 1,
    revision: str | None = None,
) -> Any:
    """Ask trained heads about recordings: text, phonemes, pitch, singing, language, sounds.

    The encoder runs once for all heads. A head runs only on the model that it was trained on.

    Args:
        head: file that `train-head` wrote (may be given several times)
        model: the Whisper that the heads were trained on
        beam_size: hypotheses of a head that writes text; 1 takes the likeliest label of each frame

    Example: pytorch-to-mlx whisper head recording.wav --head ctc.safetensors --head pitch.safetensors
    """
    from ...audio.load import load_audio
    from ...audio.recordings import Recordings, check_inputs, read_input
    from ...checkpoint import locate
    from ...heads.apply import apply_heads
    from ...heads.file import load_head
    from .pipeline import load
    from .trunk import EncoderTrunk

    if not 1 <= beam_size <= 1000:
        raise UsageError(f"beam_size is {beam_size}", fix="use 1 to 1000")
    check_inputs(audio)
    heads = [load_head(path) for path in head]  # damaged files are found before the model is loaded
    located = locate(model, (CARD,), revision=revision)
    trunk = EncoderTrunk(load(located.path).model)
    for path, trained in zip(head, heads, strict=True):
        trained.check_trunk(trunk.digest, located.name, path)

    def ask(name: str, printed: bool) -> "Lines":
        samples = load_audio(read_input(name), trunk.sample_rate)
        answers = []
        for answer in apply_heads([trained.head for trained in heads], trunk, samples, beam_size=beam_size):
            answers.append(answer.to_dict())
            if answer.value is not None:
                yield answer.line()
        return {"audio": name, "duration_s": len(samples) / trunk.sample_rate, "answers": answers}

    return Recordings(audio, ask)
