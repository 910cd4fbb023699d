"""The rules for every tensor of Silero VAD: the ONNX file with both networks, and the safetensors file with one."""

from pathlib import Path

from ...checkpoint import Checkpoint
from ...weights import CONV1D, LSTM_BIAS, POINTWISE, Rule, WeightMap, drop, either, fold, rename
from ...weights.original import open_original
from ...weights.rules import flatten

ONNX = {16000: "If_0_then_branch__Inline_0__", 8000: "If_0_else_branch__Inline_0__"}


def network(rate: int, ours: str, *, optional: bool = False) -> tuple[Rule, ...]:
    """Return the rules of one network as the ONNX file spells it."""
    theirs = ONNX[rate]
    biases = (f"{theirs}decoder.rnn.bias_ih", f"{theirs}decoder.rnn.bias_hh")
    return (
        rename(f"{theirs}stft.forward_basis_buffer", f"{ours}.stft.weight", CONV1D, optional=optional),
        rename(f"{theirs}encoder.{{}}.reparam_conv.*", f"{ours}.encoder.{{}}.*", CONV1D, optional=optional),
        rename(f"{theirs}decoder.rnn.weight_ih", f"{ours}.lstm.Wx", optional=optional),
        rename(f"{theirs}decoder.rnn.weight_hh", f"{ours}.lstm.Wh", optional=optional),
        fold(biases, f"{ours}.lstm.bias", LSTM_BIAS, optional=optional),
        rename(f"{theirs}decoder.decoder.2.*", f"{ours}.output.*", POINTWISE, optional=optional),
    )


def safetensors(ours: str) -> tuple[Rule, ...]:
    """Return the rules of the same network as the safetensors file spells it, in the same order."""
    return (
        rename("stft_conv.weight", f"{ours}.stft.weight", CONV1D),
        rename("conv1.*", f"{ours}.encoder.0.*", CONV1D),
        rename("conv2.*", f"{ours}.encoder.1.*", CONV1D),
        rename("conv3.*", f"{ours}.encoder.2.*", CONV1D),
        rename("conv4.*", f"{ours}.encoder.3.*", CONV1D),
        rename("lstm_cell.weight_ih", f"{ours}.lstm.Wx"),
        rename("lstm_cell.weight_hh", f"{ours}.lstm.Wh"),
        fold(("lstm_cell.bias_ih", "lstm_cell.bias_hh"), f"{ours}.lstm.bias", LSTM_BIAS),
        rename("final_conv.*", f"{ours}.output.*", POINTWISE),
    )


def in_either_spelling() -> tuple[Rule, ...]:
    """Return the rules of the 16 kHz network in either spelling, part by part."""
    onnx, plain = network(16000, "net16k"), safetensors("net16k")
    parts = ((0, slice(0, 1)), (1, slice(1, 5)), (2, slice(5, 6)), (3, slice(6, 7)), (4, slice(7, 8)), (5, slice(8, 9)))
    return flatten(either(onnx[one], *plain[others]) for one, others in parts)


WEIGHTS = WeightMap(
    in_either_spelling(),
    network(8000, "net8k", optional=True),
    drop(f"{ONNX[16000]}self.stft.hop_length", why="a number of the graph", optional=True),
    drop(f"{ONNX[8000]}self.stft.filter_length", why="a number of the graph", optional=True),
    file=__file__,
)


def is_tinygrad_file(checkpoint: Checkpoint) -> bool:
    """Whether the tensors are spelled as in the safetensors, whose network silero-vad itself does not run."""
    return "lstm_cell.weight_ih" in checkpoint.names()


def open_release(path: Path) -> Checkpoint:
    """Open a release, with its sample rates in `config`."""
    checkpoint = open_original(path, WEIGHTS)
    rates = [rate for rate, prefix in ONNX.items() if any(name.startswith(prefix) for name in checkpoint.names())]
    checkpoint.config = {"model_type": "silero-vad", "sample_rates": rates or [16000], **(checkpoint.config or {})}
    return checkpoint
