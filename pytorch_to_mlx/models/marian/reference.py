"""Compare with the originals: transformers' MarianMTModel, and for models of Marian's own its formulas in PyTorch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import mlx.core as mx
import numpy as np

from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MissingExtraError
from ...generate.options import GenerationOptions
from ...generate.search import generate
from ...generate.translate import Engine, translate_texts
from ...taps import record_taps
from .pipeline import load
from .weights import is_release

SENTENCES = (
    "How are you today?",
    "The children were playing happily in the garden.",
    "The committee, which had met on 14 March 2023, could not agree on a date; it will meet again in September.",
)
PARAGRAPH = " ".join(SENTENCES)
STEPS = 24  # decoder steps that are measured
MAX_NEW_TOKENS = 60
Taps = dict[str, np.ndarray]


class Original(Protocol):
    """What both originals can do. dtype: "float32" or "float64"."""

    weights_from: str

    def encode(self, source: Sequence[int], dtype: str) -> np.ndarray: ...
    def logits(self, source: Sequence[int], target: Sequence[int], dtype: str) -> np.ndarray: ...
    def beams(self, source: Sequence[int], options: GenerationOptions, limit: int) -> list[int] | None: ...


class Reference(Contract):
    """Both sides on the same weights. The cases are three sentences, each with the tokens that greedy search gives.

    Other translators inherit this, and replace `load_ours` and `load_original`.
    """

    def __init__(self, pipeline: Any, original: Original) -> None:
        self.pipeline, self.original = pipeline, original
        self.engine: Engine = pipeline.example_engine()
        self.weights_from = original.weights_from

    @staticmethod
    def load_ours(path: Path) -> Any:
        return load(path)

    @staticmethod
    def load_original(path: Path) -> Original:
        return open_original(path)

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(cls.load_ours(mlx_path or source_path), cls.load_original(source_path))

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        if side == "ours":
            engine = cls.load_ours(mlx_path or source_path).example_engine()
            return lambda: translate_texts(engine, [PARAGRAPH])
        engine, original = cls.load_ours(source_path).example_engine(), cls.load_original(source_path)
        source = engine.encode(SENTENCES[1])
        return lambda: greedy(original, source, engine, "float32")

    def cases(self) -> list[Case]:
        return [Case(text, {"source": self.engine.encode(text)}) for text in SENTENCES]

    def mlx(self, case: Case) -> Taps:
        source, engine = case.inputs["source"], self.engine
        prefix = prefix_of(engine)
        search = GenerationOptions(eos=engine.options.eos, max_new_tokens=MAX_NEW_TOKENS)
        [[best]] = generate(engine.start([source]), [source], search, prompts=[prefix], most=engine.max_target)
        with record_taps() as taps:
            self.pipeline.model(mx.array([source]), mx.array([[*prefix, *best.ids[:-1]]]))
        arrays = {name: np.array(value) for name, value in taps.items()}
        beams = {} if self.not_compared() else {"beams": np.array(self._search(source))}
        return {"encoder": arrays["encoder"], "logits": arrays["logits"], "tokens": np.array(best.ids), **beams}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        source, engine = case.inputs["source"], self.engine
        tokens = greedy(self.original, source, engine, dtype)
        beams = self.original.beams(source, self._options(), self._limit(source))
        return {
            "encoder": self.original.encode(source, dtype),
            "logits": self.original.logits(source, [*prefix_of(engine), *tokens[:-1]], dtype),
            "tokens": np.array(tokens),
            **({} if beams is None else {"beams": np.array(beams)}),
        }

    def not_compared(self) -> dict[str, str]:
        """Return the taps that the original cannot give."""
        if isinstance(self.original, Transformers):
            return {}
        return {"beams": "the formulas of a model of Marian's own are here without Marian's beam search"}

    def _options(self) -> GenerationOptions:
        return self.engine.options.changed({"num_return_sequences": 1})

    def _limit(self, source: Sequence[int]) -> int:
        return self._options().limit(len(source), len(self.engine.prompt), self.engine.max_target)

    def _search(self, source: Sequence[int]) -> tuple[int, ...]:
        """Return the ids that the checkpoint's own settings give."""
        engine = self.engine
        [[best]] = generate(
            engine.start([source]), [source], self._options(), prompts=[engine.prompt], most=engine.max_target
        )
        return best.ids

    def workloads(self) -> dict[str, Workload]:
        model, source = self.pipeline.model, self.engine.encode(SENTENCES[2])
        target = [*prefix_of(self.engine), *source[: STEPS - 1]]
        tokens, target_tokens = mx.array([source]), mx.array([target])
        return {
            "encoder": Workload(
                lambda: mx.eval(model.encode(tokens).layers), lambda: self.original.encode(source, "float32")
            ),
            f"decoder-{len(target)}-tokens": Workload(
                lambda: mx.eval(model(tokens, target_tokens)), lambda: self.original.logits(source, target, "float32")
            ),
            "translate": Workload(lambda: translate_texts(self.engine, [PARAGRAPH]), None),
        }


def prefix_of(engine: Engine) -> list[int]:
    """Return what the decoder starts with, and the id that is forced after it if there is one."""
    forced = engine.options.forced_bos_token_id
    return [*engine.prompt, *([] if forced is None else [forced])]


def greedy(original: Original, source: Sequence[int], engine: Engine, dtype: str) -> list[int]:
    """Return the likeliest tokens one after the other, with the end token."""
    tokens: list[int] = []
    while len(tokens) < MAX_NEW_TOKENS and not (tokens and tokens[-1] in engine.options.eos):
        tokens.append(int(original.logits(source, [*prefix_of(engine), *tokens], dtype)[0, -1].argmax()))
    return tokens


def open_original(source_path: Path) -> Original:
    """Return the original that can read these files. Raises: MissingExtraError without a package that it needs."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
    if is_release(source_path):
        from .reference_student import Student

        return Student(source_path)
    return Transformers(source_path, "MarianMTModel")


class Transformers:
    """A model of transformers, which reads its own files. name: of its class."""

    def __init__(self, source_path: Path, name: str) -> None:
        import torch
        import transformers

        folder = source_path if source_path.is_dir() else source_path.parent
        model_class = getattr(transformers, name)
        self.models = {"float32": model_class.from_pretrained(folder, dtype=torch.float32).eval()}
        self.weights_from = f"{folder.name}, read by transformers"

    def _model(self, dtype: str) -> Any:
        import copy

        if dtype not in self.models:
            self.models[dtype] = copy.deepcopy(self.models["float32"]).double()
        return self.models[dtype]

    def encode(self, source: Sequence[int], dtype: str) -> np.ndarray:
        import torch

        with torch.no_grad():
            return self._model(dtype).get_encoder()(input_ids=torch.tensor([list(source)]))[0].numpy()

    def logits(self, source: Sequence[int], target: Sequence[int], dtype: str) -> np.ndarray:
        import torch

        ids, decoder_ids = torch.tensor([list(source)]), torch.tensor([list(target)])
        with torch.no_grad():
            return self._model(dtype)(input_ids=ids, decoder_input_ids=decoder_ids).logits.numpy()

    def beams(self, source: Sequence[int], options: GenerationOptions, limit: int) -> list[int] | None:
        import torch

        model = self._model("float32")
        with torch.no_grad():
            ids, forced = torch.tensor([list(source)]), options.forced_bos_token_id
            row = model.generate(ids, max_length=limit, do_sample=False, forced_bos_token_id=forced)[0].tolist()[1:]
        ends = [place for place, token in enumerate(row) if token in options.eos]
        return row[: ends[0] + 1] if ends else row
