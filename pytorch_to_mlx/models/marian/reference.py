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
from ...generate.steps import DecoderSteps
from ...taps import record_taps
from ...tasks import Translation
from .pipeline import MarianPipeline, load
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
    """Both sides on the same weights. The cases are three sentences, each with the tokens that greedy search gives."""

    def __init__(self, pipeline: MarianPipeline, original: Original) -> None:
        self.pipeline, self.original = pipeline, original
        self.weights_from = original.weights_from

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load(mlx_path or source_path), open_original(source_path))

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        if side == "ours":
            pipeline = load(mlx_path or source_path)
            return lambda: pipeline.translate(PARAGRAPH, tgt=next(iter(pipeline.languages), None))
        pipeline, original = load(source_path), open_original(source_path)
        source = encode(pipeline, SENTENCES[1])
        return lambda: greedy(original, source, pipeline.model.config, "float32")

    def cases(self) -> list[Case]:
        return [Case(text, {"source": encode(self.pipeline, text)}) for text in SENTENCES]

    def mlx(self, case: Case) -> Taps:
        model, source = self.pipeline.model, case.inputs["source"]
        config = model.config
        start, options = config.decoder_start_token_id, self._options()
        search = GenerationOptions(eos=options.eos, max_new_tokens=MAX_NEW_TOKENS)
        [[best]] = self._search(source, search)
        with record_taps() as taps:
            model(mx.array([source]), mx.array([[start, *best.ids[:-1]]]))
        arrays = {name: np.array(value) for name, value in taps.items()}
        beams = {} if self.not_compared() else {"beams": np.array(self._search(source, options)[0][0].ids)}
        return {"encoder": arrays["encoder"], "logits": arrays["logits"], "tokens": np.array(best.ids), **beams}

    def torch(self, case: Case, dtype: str = "float32") -> Taps:
        source, config = case.inputs["source"], self.pipeline.model.config
        tokens = greedy(self.original, source, config, dtype)
        target = [config.decoder_start_token_id, *tokens[:-1]]
        beams = self.original.beams(source, self._options(), self._limit(source))
        return {
            "encoder": self.original.encode(source, dtype),
            "logits": self.original.logits(source, target, dtype),
            "tokens": np.array(tokens),
            **({} if beams is None else {"beams": np.array(beams)}),
        }

    def not_compared(self) -> dict[str, str]:
        """Return the taps that the original cannot give."""
        if isinstance(self.original, Transformers):
            return {}
        return {"beams": "the formulas of a model of Marian's own are here without Marian's beam search"}

    def _options(self) -> GenerationOptions:
        return self.pipeline.options.changed({"num_return_sequences": 1})

    def _limit(self, source: Sequence[int]) -> int:
        return self._options().limit(len(source), 1, self.pipeline.model.config.max_position_embeddings)

    def _search(self, source: Sequence[int], options: GenerationOptions) -> Any:
        config = self.pipeline.model.config
        steps = DecoderSteps(self.pipeline.model, [source], padding=config.pad_token_id)
        prompts = [[config.decoder_start_token_id]]
        return generate(steps, [source], options, prompts=prompts, most=config.max_position_embeddings)

    def workloads(self) -> dict[str, Workload]:
        model, source = self.pipeline.model, encode(self.pipeline, SENTENCES[2])
        target = [model.config.decoder_start_token_id, *source[: STEPS - 1]]
        tokens, target_tokens = mx.array([source]), mx.array([target])

        def encoder() -> None:
            mx.eval(model.encoder(model.embed("source", tokens), None))

        return {
            "encoder": Workload(encoder, lambda: self.original.encode(source, "float32")),
            f"decoder-{len(target)}-tokens": Workload(
                lambda: mx.eval(model(tokens, target_tokens)), lambda: self.original.logits(source, target, "float32")
            ),
            "translate": Workload(lambda: self._translate(), None),
        }

    def _translate(self) -> Translation | list[Translation]:
        return self.pipeline.translate(PARAGRAPH, tgt=next(iter(self.pipeline.languages), None))


def encode(pipeline: MarianPipeline, text: str) -> list[int]:
    """Return the ids of a sentence, into the first language of a model that has several."""
    return pipeline.tokenizer.encode(text, next(iter(pipeline.languages), ""))


def greedy(original: Original, source: Sequence[int], config: Any, dtype: str) -> list[int]:
    """Return the likeliest tokens one after the other, with the end token."""
    target = [config.decoder_start_token_id]
    while len(target) <= MAX_NEW_TOKENS:
        target.append(int(original.logits(source, target, dtype)[0, -1].argmax()))
        if target[-1] == config.eos_token_id:
            break
    return target[1:]


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
    return Transformers(source_path)


class Transformers:
    """transformers' MarianMTModel, which reads its own files."""

    def __init__(self, source_path: Path) -> None:
        import torch
        from transformers import MarianMTModel

        folder = source_path if source_path.is_dir() else source_path.parent
        self.models = {"float32": MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()}
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
            row = model.generate(torch.tensor([list(source)]), max_length=limit, do_sample=False)[0].tolist()[1:]
        ends = [place for place, token in enumerate(row) if token in options.eos]
        return row[: ends[0] + 1] if ends else row
