"""Measure what quantization changes in a model that writes tokens: beside the same model in full precision."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from operator import eq
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..contract import TokenModel
from ..convert import convert
from ..errors import MissingExtraError, UsageError
from ..forks import require_own_threads
from ..model_source import find_model
from ..progress import note, track
from ..units import count_text, size_text
from ..version import versions
from ..weights.quantize import check_quantization

N_INPUTS = 100
BATCH = 16
TOP = 5


@dataclass(frozen=True)
class QuantizedResult:
    """How a quantized model differs from the model in full precision. What follows nbytes are means over inputs.

    activations: whether what the layers read was rounded too. nbytes: of the weights. equal_texts: share of inputs with
    the same greedy tokens from beginning to end. equal_tokens: share of greedy tokens that are equal, place by place.
    first: share of places where both have the same likeliest token, after the tokens of the full model. top_5: share of
    its five likeliest that are among the other's five. kl: Kullback-Leibler divergence of the next token, in nats.
    chrf: of the texts, the full model's being right.
    """

    bits: int
    group_size: int
    activations: bool
    nbytes: int
    equal_texts: float
    equal_tokens: float
    first: float
    top_5: float
    kl: float
    kl_max: float
    chrf: float


@dataclass(frozen=True)
class QuantizationReport:
    """The results by number of bits. n_tokens: that the full model wrote, all inputs together."""

    family: str
    source: str
    n_inputs: int
    n_tokens: int
    results: tuple[QuantizedResult, ...]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each number of bits."""
        return [
            {
                "bits": r.bits,
                "group": r.group_size,
                "activations": "8 bits" if r.activations else "exact",
                "weights": size_text(r.nbytes),
                "equal texts": f"{r.equal_texts:.1%}",
                "equal tokens": f"{r.equal_tokens:.1%}",
                "same likeliest": f"{r.first:.2%}",
                "same top 5": f"{r.top_5:.1%}",
                "KL mean": f"{r.kl:.2e}",
                "KL max": f"{r.kl_max:.2e}",
                "chrF": f"{r.chrf:.1f}",
            }
            for r in self.results
        ]

    def summary(self) -> str:
        """Return what was compared, and the versions."""
        inputs, tokens = count_text(self.n_inputs, "input"), count_text(self.n_tokens, "token")
        lines = [f"{self.family}: {inputs}, {tokens}: quantized beside full precision ({self.source})"]
        return "\n".join([*lines, ", ".join(f"{name} {version}" for name, version in self.versions.items())])


def measure_quantization(
    source: str | Path | None,
    *,
    family: str | None = None,
    bits: Sequence[int] = (8, 4),
    group_size: int = 64,
    activations: bool = False,
    inputs: int | Sequence[str] = N_INPUTS,
) -> QuantizationReport:
    """Convert a checkpoint to each number of bits, in a folder that is removed again, and compare what both write.

    source: checkpoint of the original; None is the default of `family`. activations: as q_activations of `convert`.
    inputs: how many of the family's own, or a user's lines. Both models are in memory together. Needs no PyTorch.
    Raises: UsageError for a family that writes no tokens, a quantized source, and a number of inputs below 1;
    MissingExtraError without sacrebleu.
    """
    require_own_threads()
    try:
        import sacrebleu  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing texts by chrF") from None
    model = find_model(source, family=family)
    token_model = model.family.token_model
    if token_model is None:
        raise UsageError(f"{model.family.name} writes no tokens to compare", fix="leave out --q-bits")
    for n_bits in bits:
        check_quantization(n_bits, group_size)
    n_inputs, lines = (inputs, ()) if isinstance(inputs, int) else (len(inputs), inputs)
    if n_inputs < 1:
        raise UsageError(f"{n_inputs} inputs", fix="give at least one")
    full = token_model(model.family.load(model.path))
    sources = full.sources(n_inputs, lines)
    written = greedy(full, sources, "greedy search in full precision")
    results = []
    for n_bits in bits:
        with TemporaryDirectory() as folder:
            path = convert(
                model.path, Path(folder) / "mlx", family=model.family.name, q_bits=n_bits, q_group_size=group_size,
                q_activations=activations,
            )  # fmt: skip
            nbytes = sum(file.stat().st_size for file in path.glob("*.safetensors"))
            quantized = token_model(model.family.load(path))
        note(f"comparing {n_bits} bits")
        results.append(compare_tokens(full, quantized, sources, written, n_bits, group_size, nbytes, activations))
    n_tokens = sum(map(len, written))
    return QuantizationReport(
        model.family.name, str(source or model.name), len(sources), n_tokens, tuple(results), versions()
    )


def compare_tokens(
    full: TokenModel,
    quantized: TokenModel,
    sources: Sequence[Any],
    written: Sequence[Sequence[int]],
    bits: int,
    group_size: int,
    nbytes: int,
    activations: bool = False,
) -> QuantizedResult:
    """Compare two models on some sources. written: the greedy tokens of the full one."""
    other = greedy(quantized, sources, f"greedy search with {bits} bits")
    pairs = list(zip(written, other, strict=True))
    places = [place for batch in _batches(sources, written) for place in _places(full, quantized, *batch)]
    kl, first, top_5 = np.array(places).T
    return QuantizedResult(
        bits, group_size, activations, nbytes,
        equal_texts=float(np.mean([tuple(a) == tuple(b) for a, b in pairs])),
        equal_tokens=float(np.mean([_equal_share(a, b) for a, b in pairs])),
        first=float(first.mean()), top_5=float(top_5.mean()), kl=float(kl.mean()), kl_max=float(kl.max()),
        chrf=chrf([quantized.text(tokens) for tokens in other], [full.text(tokens) for tokens in written]),
    )  # fmt: skip


def greedy(model: TokenModel, sources: Sequence[Any], what: str) -> list[tuple[int, ...]]:
    """Return the greedy tokens for every source, in batches."""
    batches = [sources[i : i + BATCH] for i in range(0, len(sources), BATCH)]
    return [tokens for batch in track(batches, what, len(batches)) for tokens in model.generate(batch)]


def chrf(texts: Sequence[str], references: Sequence[str]) -> float:
    """Return chrF, 100 for equal texts. Source: Popović 2015, as sacrebleu computes it."""
    import sacrebleu

    return float(sacrebleu.corpus_chrf(list(texts), [list(references)]).score)


def _batches(sources: Sequence[Any], written: Sequence[Any]) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    for i in range(0, len(sources), BATCH):
        yield sources[i : i + BATCH], written[i : i + BATCH]


def _places(
    full: TokenModel, quantized: TokenModel, sources: Sequence[Any], written: Sequence[Sequence[int]]
) -> Iterator[tuple[float, bool, float]]:
    """Yield (KL divergence, whether the likeliest is the same, share of the five likeliest) for every token."""
    both = zip(full.logits(sources, written), quantized.logits(sources, written), strict=True)
    for step, (ours, theirs) in enumerate(both):
        for row, tokens in enumerate(written):
            if step < len(tokens):
                yield _compare(ours[row], theirs[row])


def _compare(full: np.ndarray, quantized: np.ndarray) -> tuple[float, bool, float]:
    """Compare the logits of one place. Shapes: two of [V]."""
    p, q = _log_softmax(full), _log_softmax(quantized)
    most = [set(np.argpartition(logits, -TOP)[-TOP:].tolist()) for logits in (full, quantized)]
    return float((np.exp(p) * (p - q)).sum()), full.argmax() == quantized.argmax(), len(most[0] & most[1]) / TOP


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max()
    return shifted - np.log(np.exp(shifted).sum())


def _equal_share(a: Sequence[int], b: Sequence[int]) -> float:
    return sum(map(eq, a, b)) / max(len(a), len(b), 1)
