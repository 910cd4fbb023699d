"""Run the original's language model on the same weights and the same draws."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np

from ....generate.sample import draw
from ..lm.config import LMConfig
from ..versions import COSYVOICE2, Version
from .imports import original, version_member

Taps = dict[str, np.ndarray]


def build_lm(config: LMConfig, version: Version = COSYVOICE2) -> Any:
    """Build the original's language model of these sizes, with random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    llm, common = original("cosyvoice.llm.llm", "cosyvoice.utils.common")
    encoder = llm.Qwen2Encoder.__new__(llm.Qwen2Encoder)  # its __init__ reads a folder
    torch.nn.Module.__init__(encoder)
    encoder.model = Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            vocab_size=config.vocab_size,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=True,
        )
    )

    def forward_one_step(xs: Any, masks: Any, cache: Any = None) -> Any:
        """Give masks as long as what is attended to; transformers 4 took the original's, of length 1, for such."""
        length = xs.shape[1] + (cache.get_seq_length() if cache is not None else 0)
        ones = torch.ones((1, 1, length), dtype=torch.bool)
        return llm.Qwen2Encoder.forward_one_step(encoder, xs, ones, cache)

    encoder.forward_one_step = forward_one_step

    def sampling(scores: Any, decoded: Any, number: int) -> Any:
        ids = common.ras_sampling(scores, decoded, number, config.top_p, config.top_k, config.win_size, config.tau_r)
        return torch.as_tensor(ids).reshape(1)  # cosyvoice2-eu looks for ids in it

    with quiet_output():
        kind = version_member(llm, version.classes["llm"].rpartition(".")[2])
        model = kind(
            config.hidden_size,
            config.hidden_size,
            config.speech_token_size,
            encoder,
            sampling,
            mix_ratio=list(config.mix_ratio),
        )
    return model.eval()


def lm_taps(model: Any, text: list[int], speech: list[int]) -> Taps:
    """Return hidden states and logits of the teacher-forced sequence sos, text, task, speech."""
    import torch

    with torch.no_grad():
        rows = [
            special_rows(model)[0],
            model.llm.model.model.embed_tokens(torch.tensor(text, dtype=torch.int64)),
            special_rows(model)[1],
            model.speech_embedding(torch.tensor(speech, dtype=torch.int64)),
        ]
        x = torch.cat(rows)[None]
        hidden, _ = model.llm(x, torch.tensor([x.shape[1]]))
        return {"lm_hidden": hidden.numpy(), "lm_logits": model.llm_decoder(hidden).numpy()}


def special_rows(model: Any) -> tuple[Any, Any]:
    """Return the embeddings of sos and task. Shapes: -> two of [1, M]."""
    if hasattr(model, "llm_embedding"):
        return model.llm_embedding.weight[:1], model.llm_embedding.weight[1:]
    table = model.speech_embedding.weight
    return table[model.sos][None], table[model.task_id][None]


def lm_tokens(
    model: Any,
    text: list[int],
    prompt_text: list[int],
    prompt_speech: list[int],
    uniform: Callable[[], float] | None,
    max_ratio: float = 20,
    speaker: np.ndarray | None = None,
    min_ratio: float = 2,
) -> list[int]:
    """Return the original's tokens: with these draws, or greedily without. Shapes: speaker [0 or 1, speaker_dim]."""
    import torch

    def greedy(scores: Any, decoded: Any, number: int) -> Any:
        return scores.argmax().reshape(1)

    def row(ids: list[int]) -> tuple[Any, Any]:
        return torch.tensor([ids], dtype=torch.int32), torch.tensor([len(ids)], dtype=torch.int32)

    inputs = [x for ids in (text, prompt_text, prompt_speech) for x in row(ids)]
    voice = torch.zeros(0, 192) if speaker is None else torch.from_numpy(speaker)
    ratios = {"max_token_text_ratio": max_ratio, "min_token_text_ratio": min_ratio}
    chosen = patch.object(model, "sampling", greedy if uniform is None else model.sampling)
    with injected_draws(uniform), _any_text(model), chosen:
        return [int(token) for token in model.inference(*inputs, voice, **ratios)]


def _any_text(model: Any) -> Any:
    """Let version 3 take text without the id of <|endofprompt|>, which is written into its code."""
    import torch

    if hasattr(model, "llm_embedding"):
        return nullcontext()
    return patch.object(torch.Tensor, "__contains__", lambda *_: True)


def lm_tokens_of_stream(
    model: Any, text: list[int], prompt_text: list[int], prompt_speech: list[int], uniform: Callable[[], float]
) -> list[int]:
    """Return the original's tokens of a text that comes word by word."""
    import torch
    from transformers import DynamicCache

    def row(ids: list[int]) -> tuple[Any, Any]:
        return torch.tensor([ids], dtype=torch.int32), torch.tensor([len(ids)], dtype=torch.int32)

    def pair(cache: Any, layer: int) -> tuple[Any, Any]:
        return cache.layers[layer].keys, cache.layers[layer].values

    words = (torch.tensor([[word]], dtype=torch.int32) for word in text)
    inputs = [x for ids in (prompt_text, prompt_speech) for x in row(ids)]
    with injected_draws(uniform), patch.object(DynamicCache, "__getitem__", pair, create=True):
        return [int(token) for token in model.inference_bistream(words, *inputs, embedding=torch.zeros(0, 192))]


def draws_as_released() -> bool:
    """Return whether the installed original draws as FunAudioLLM/CosyVoice@ace7c47.

    There the second draw excludes a repeated token; the package cosyvoice2-eu 0.2.8 is older, and draws special ids in
    its own way.
    """
    import torch

    (common,) = original("cosyvoice.utils.common")
    with injected_draws(lambda: 0.0):
        return int(common.ras_sampling(torch.zeros(2), [0], 25)) != 0


@contextmanager
def injected_draws(uniform: Callable[[], float] | None) -> Iterator[None]:
    """Let the original draw with our random numbers."""
    import torch

    def multinomial(probs: Any, count: int, replacement: bool = False) -> Any:
        assert uniform is not None and count == 1
        return torch.tensor([draw(probs.numpy(), uniform())])

    with patch.object(torch.Tensor, "multinomial", multinomial):
        yield


@contextmanager
def quiet_output() -> Iterator[None]:
    """Swallow what cosyvoice2-eu prints to stdout while it is built."""
    import io
    from contextlib import redirect_stdout

    with redirect_stdout(io.StringIO()):
        yield
