"""Compare with transformers, on the same weights: logits of texts, and the tokens that greedy decoding gives."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx
import numpy as np

from ...checkpoint import Checkpoint, open_checkpoint
from ...contract import Case, Workload
from ...contract import Reference as Contract
from ...errors import MissingExtraError
from ...taps import record_taps
from ...weights import dequantize
from .decoding import Options, token_stream
from .files import gguf_of
from .pipeline import LlamaPipeline, load
from .weights import open_release

TEXTS = (
    "The capital of France is",
    "Once upon a time, in 1847, a small ship left the harbour of Bergen with 12 sailors on board.",
    "def fibonacci(n):\n    if n < 2:\n        return n\n",
)
N_TOKENS = 64
N_PREFILL, N_DECODE = 128, 32


class Reference(Contract):
    """Both sides on the same weights. The cases are three texts, each continued by 64 tokens."""

    def __init__(self, pipeline: LlamaPipeline, model: Any, weights_from: str) -> None:
        self.pipeline, self.weights_from = pipeline, weights_from
        self._models = {"float32": model}
        self._tokens: dict[str, np.ndarray] = {}

    @classmethod
    def open(cls, source_path: Path, mlx_path: Path | None = None) -> "Reference":
        return cls(load(mlx_path or source_path), *open_original(source_path))

    @classmethod
    def alone(
        cls, side: Literal["ours", "torch"], source_path: Path, mlx_path: Path | None = None
    ) -> Callable[[], Any]:
        ids = np.random.default_rng(0).integers(0, 256, N_PREFILL).tolist()
        if side == "ours":
            pipeline = load(mlx_path or source_path)
            return lambda: _decode_ours(pipeline.model, ids)
        model, _ = open_original(source_path)
        return lambda: _decode_torch(model, ids, N_DECODE)

    def cases(self) -> list[Case]:
        return [Case(text.splitlines()[0], {"ids": self.pipeline.tokenizer.encode(text)}) for text in TEXTS]

    def mlx(self, case: Case) -> dict[str, np.ndarray]:
        ids, model = case.inputs["ids"], self.pipeline.model
        with record_taps() as taps:
            model(mx.array([ids]))
        tokens = list(token_stream(model, ids, Options(max_tokens=N_TOKENS), _cache(model)))
        logits: Any = taps["logits"]
        return {"logits": np.array(logits.astype(mx.float32)), "tokens": np.array(tokens)}

    def torch(self, case: Case, dtype: str = "float32") -> dict[str, np.ndarray]:
        import torch

        ids = case.inputs["ids"]
        with torch.no_grad():
            logits = self._model(dtype)(input_ids=torch.tensor([ids])).logits.numpy()
        if case.name not in self._tokens:
            self._tokens[case.name] = np.array(_decode_torch(self._models["float32"], ids, N_TOKENS))
        return {"logits": logits, "tokens": self._tokens[case.name]}

    def _model(self, dtype: str) -> Any:
        import copy

        if dtype not in self._models:
            self._models[dtype] = copy.deepcopy(self._models["float32"]).double()
        return self._models[dtype]

    def workloads(self) -> dict[str, Workload]:
        import torch

        n_tokens = min(256, len(self.pipeline.tokenizer))
        ids = np.random.default_rng(0).integers(0, n_tokens, N_PREFILL).tolist()
        ours, original = self.pipeline.model, self._models["float32"]

        def prefill_torch() -> Any:
            with torch.no_grad():
                return original(input_ids=torch.tensor([ids]), logits_to_keep=1).logits

        return {
            f"prefill {N_PREFILL} tokens": Workload(lambda: _prefill_ours(ours, ids), prefill_torch),
            f"prefill {N_PREFILL} tokens, decode {N_DECODE}": Workload(
                lambda: _decode_ours(ours, ids), lambda: _decode_torch(original, ids, N_DECODE)
            ),
        }


def _cache(model: Any) -> list[Any]:
    from mlx_lm.models.cache import make_prompt_cache

    return make_prompt_cache(model)


def _prefill_ours(model: Any, ids: list[int]) -> list[int]:
    """Read a prompt as generation does: only the logits after its last token are computed."""
    return list(token_stream(model, ids, Options(max_tokens=1), _cache(model)))


def _decode_ours(model: Any, ids: list[int]) -> list[int]:
    return list(token_stream(model, ids, Options(max_tokens=N_DECODE), _cache(model)))


def _decode_torch(model: Any, ids: list[int], n_tokens: int) -> list[int]:
    """Return the likeliest tokens one after the other, from transformers' cache; no token ends the text."""
    import torch

    tokens: list[int] = []
    with torch.no_grad():
        out = model(input_ids=torch.tensor([ids]), use_cache=True, logits_to_keep=1)
        while len(tokens) < n_tokens:
            tokens.append(int(out.logits[0, -1].argmax()))
            if len(tokens) < n_tokens:
                step = torch.tensor([tokens[-1:]])
                out = model(input_ids=step, past_key_values=out.past_key_values, use_cache=True)
    return tokens


def open_original(path: Path) -> tuple[Any, str]:
    """Return transformers' model in float32, and where its weights come from.

    It reads Hugging Face's files itself, and GGUF files where the package gguf is installed; what is left, and what MLX
    packs, it gets as we read it.
    Raises: MissingExtraError without torch or transformers.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "validate", needed_for="comparing with PyTorch") from None
    options = {"dtype": torch.float32, "trust_remote_code": False, "local_files_only": True}
    folder = path if path.is_dir() else path.parent
    gguf = gguf_of(path)
    if gguf is not None and find_spec("gguf") and find_spec("accelerate"):
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, **options)
        return model.eval(), f"{gguf.name}, read by transformers and the package gguf"
    if gguf is None:
        with open_checkpoint(path) as checkpoint:
            is_ours = checkpoint.kind == "mlx"
        if not is_ours:
            model = AutoModelForCausalLM.from_pretrained(folder, **options)
            return model.eval(), f"{folder.name}, read by transformers"
    with open_release(path) if gguf is not None else open_checkpoint(path) as checkpoint:
        return _from_ours(checkpoint, AutoModelForCausalLM, torch)


def _from_ours(checkpoint: Checkpoint, auto: Any, torch: Any) -> tuple[Any, str]:
    from transformers import AutoConfig

    config, weights = checkpoint.config or {}, {name: checkpoint[name] for name in checkpoint}
    if "quantization" in config:
        config, weights = dequantize(config, weights, where=checkpoint.source)
    model = auto.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()
    state = {name: torch.from_numpy(np.array(array.astype(mx.float32))) for name, array in weights.items()}
    if config.get("tie_word_embeddings"):
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model, f"{Path(checkpoint.source).name}, as read here, without PyTorch: the reading itself is not compared"
