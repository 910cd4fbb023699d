"""The translators at full size beside transformers, with seeded random weights: logits, and every token of searches.

No weights of these models were at hand. The weights are drawn so that a layer adds as much as its input, and the last
norm is scaled up: then the likeliest tokens are as far apart as in a trained model. No token may occur twice in an
output, without which random models write one token over and over.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch
import transformers
from parity import assert_close

from pytorch_to_mlx import registry
from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.search import generate
from pytorch_to_mlx.generate.steps import DecoderSteps
from pytorch_to_mlx.taps import record_taps
from pytorch_to_mlx.weights import load_model

pytestmark = pytest.mark.full
N_INPUTS, BATCH, BEAMS = 200, 20, 5


@dataclass(frozen=True)
class Spec:
    """One model. n_new: tokens that searches write. louder: patterns of names whose weights are scaled.

    prefix: what the decoder reads first: its start, and for NLLB the code of French, which is forced.
    """

    family: str
    kind: str
    sizes: dict[str, Any]
    n_new: int
    prefix: tuple[int, ...]
    louder: dict[str, float] = field(default_factory=dict)


MARIAN = {
    "vocab_size": 58101, "d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
    "decoder_attention_heads": 8, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048, "max_position_embeddings": 512,
    "pad_token_id": 58100, "decoder_start_token_id": 58100, "eos_token_id": 0, "scale_embedding": True,
    "activation_function": "swish", "init_std": 512**-0.5,
}  # fmt: skip
NLLB = {
    "vocab_size": 256206, "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "encoder_attention_heads": 16,
    "decoder_attention_heads": 16, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096, "max_position_embeddings": 1024,
    "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "scale_embedding": True, "init_std": 1 / 32,
}  # fmt: skip
T5_SMALL = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "decoder_start_token_id": 0,
}
FLAN_BASE = {
    "vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 2048, "num_layers": 12, "num_heads": 12,
    "feed_forward_proj": "gated-gelu", "scale_decoder_outputs": False, "decoder_start_token_id": 0,
}  # fmt: skip
CALM = {r"encoder\.layers.*self_attn\.out": 0.2, r"encoder\.layers.*fc2": 0.3}  # or all places become alike
SHARP = {r"encoder_attn\.q": 6, r"encoder_attn\.out": 4}
SPECS = {
    "opus-mt-base": Spec(
        "opus-mt", "Marian", MARIAN, 24, (58100,), {**CALM, **SHARP, r"decoder\.layers\.5\.final_layer_norm": 4}
    ),
    "t5-small": Spec(
        "madlad", "T5", T5_SMALL, 24, (0,),
        {r"EncDecAttention\.q": 6, r"EncDecAttention\.o": 4, r"\.o\.|\.wo\.": 8, r"decoder\.final_layer_norm": 4},
    ),
    "flan-t5-base": Spec(
        "madlad", "T5", FLAN_BASE, 12, (0,), {r"EncDecAttention\.q": 6, r"EncDecAttention\.o": 4}
    ),
    "nllb-600M": Spec(
        "nllb", "M2M100", NLLB, 6, (2, 256057),
        {**SHARP, r"out_proj|fc2": 4, r"decoder\.layer_norm": 4},
    ),
}  # fmt: skip


def draw(spec: Spec):
    """Return the model of transformers with random weights, biases and norms too."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{spec.kind}Config")(**spec.sizes)
    name = {"Marian": "MarianMTModel"}.get(spec.kind, f"{spec.kind}ForConditionalGeneration")
    model = getattr(transformers, name)(config).eval()
    if spec.sizes.get("scale_decoder_outputs") is False:  # FLAN: an output layer of its own
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * config.d_model**-0.5 * 8)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1:
                value += 0.1 * torch.randn_like(value)
            for part, factor in spec.louder.items():
                if re.search(part, name):
                    value *= factor
        if spec.kind == "Marian":
            model.final_logits_bias += 0.1 * torch.randn_like(model.final_logits_bias)
    return model


@pytest.fixture(scope="module", params=SPECS)
def folder(request, tmp_path_factory):
    """(the name, the folder that transformers saved)"""
    path = tmp_path_factory.mktemp(request.param)
    draw(SPECS[request.param]).save_pretrained(path)
    yield request.param, path
    for file in path.iterdir():
        file.unlink()


def theirs(name, path):
    spec = SPECS[name]
    kind = {"Marian": "MarianMTModel"}.get(spec.kind, f"{spec.kind}ForConditionalGeneration")
    model = getattr(transformers, kind).from_pretrained(path, dtype=torch.float32).eval()
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=model.config.pad_token_id, eos_token_id=model.config.eos_token_id,
        decoder_start_token_id=spec.prefix[0], no_repeat_ngram_size=1, max_new_tokens=spec.n_new + len(spec.prefix) - 1,
        forced_bos_token_id=spec.prefix[1] if len(spec.prefix) > 1 else None,
        bad_words_ids=[[model.config.pad_token_id]] if name.startswith("opus") else None,
    )  # fmt: skip
    return model


def ours(name, path):
    """Our model, through the weight map."""
    family = registry.family(SPECS[name].family)
    model, _ = load_model(
        path, lambda config: family.model(family.config.from_dict(config)), sizes=family.config.from_dict,
        weight_map=family.weights, open_release=family.open_release,
    )  # fmt: skip
    return model


def inputs(spec, n=N_INPUTS):
    """Sources of 4 to 12 random ids and the end."""
    rng, end = np.random.default_rng(1), {"Marian": 0, "M2M100": 2, "T5": 1}[spec.kind]
    high = spec.sizes["vocab_size"] - 200
    return [[*rng.integers(4, high, rng.integers(4, 13)).tolist(), end] for _ in range(n)]


def padded(sources, fill):
    longest = max(map(len, sources))
    ids = torch.tensor([[*s, *[fill] * (longest - len(s))] for s in sources])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sources])
    return {"input_ids": ids, "attention_mask": mask}


def test_encoder_and_logits(folder):
    """Four inputs in one batch with padding: the encoder, the logits of 24 given tokens, and those step by step."""
    name, path = folder
    spec = SPECS[name]
    sources = inputs(spec, 4)
    target = np.random.default_rng(2).integers(4, spec.sizes["vocab_size"] - 200, (4, 24))
    model, expected = theirs(name, path), {}
    fill = model.config.pad_token_id
    batch = padded(sources, fill)
    for dtype in ("float32", "float64"):
        model = model.to(getattr(torch, dtype))
        with torch.no_grad():
            output = model(**batch, decoder_input_ids=torch.tensor(target))
        is_token = batch["attention_mask"].bool()
        expected[dtype] = output.encoder_last_hidden_state[is_token].numpy(), output.logits.numpy()
        del output
    del model
    mlx_model = ours(name, path)
    ids, mask = mx.array(batch["input_ids"].numpy()), mx.array(batch["attention_mask"].numpy().astype(bool))
    mask = mask[:, None, None, :]
    with record_taps() as taps:
        logits = np.array(mlx_model(ids, mx.array(target), mask))
    encoded = np.array(taps["encoder"])[batch["attention_mask"].numpy().astype(bool)]
    results = [
        assert_close(value, expected["float32"][k], expected["float64"][k], name=what)
        for k, (what, value) in enumerate((("encoder", encoded), ("logits", logits)))
    ]
    state, parts = mlx_model.encode(ids, mask), []
    for step in range(target.shape[1]):
        hidden, state = mlx_model.decode(mx.array(target[:, step : step + 1]), state)
        parts.append(np.array(mlx_model.logits(hidden)))
    stepped = np.concatenate(parts, axis=1)
    results.append(assert_close(stepped, expected["float32"][1], expected["float64"][1], name="steps"))
    for result in results:
        print(f"\n{name} {result.name}: ours {result.relative:.1e}, PyTorch {result.torch_relative:.1e}", end="")
    top = np.sort(expected["float64"][1], axis=-1)[..., -2:]
    print(f"\n{name}: logits' deviation {logits.std():.1f}, median margin {np.median(top[..., 1] - top[..., 0]):.2f}")


def expected_ids(name, path, sources, n_beams):
    """What transformers' generate() gives in batches, without what its decoder read first and without the fill."""
    model, rows = theirs(name, path), []
    n_prefix, end = len(SPECS[name].prefix), model.config.eos_token_id
    for i in range(0, len(sources), BATCH):
        batch = padded(sources[i : i + BATCH], model.config.pad_token_id)
        with torch.no_grad():
            given = model.generate(**batch, num_beams=n_beams, do_sample=False)
        for row in given[:, n_prefix:].tolist():
            rows.append(row[: row.index(end) + 1] if end in row else row)
    return rows


@pytest.fixture(scope="module", params=[1, BEAMS], ids=["greedy", "beam 5"])
def searched(request, folder):
    """(name, our model, the inputs, beams, what transformers gives)"""
    name, path = folder
    sources = inputs(SPECS[name])
    expected = expected_ids(name, path, sources, request.param)
    return name, ours(name, path), sources, request.param, expected


@pytest.mark.parametrize(
    ("batch", "part"),
    [(BATCH, slice(None)), *((1, slice(n, n + 50)) for n in range(0, N_INPUTS, 50))],
    ids=["batched", *(f"single from {n}" for n in range(0, N_INPUTS, 50))],
)
def test_every_token_of_searches(searched, batch, part):
    """All 200 inputs, in batches and one by one."""
    name, model, sources, n_beams, expected = searched
    sources, expected = sources[part], expected[part]
    spec, config, rows = SPECS[name], model.config, []
    forced = spec.prefix[1] if len(spec.prefix) > 1 else None
    no_pads = ((config.pad_token_id,),) if name.startswith("opus") else ()
    options = GenerationOptions(
        eos=(config.eos_token_id,), num_beams=n_beams, no_repeat_ngram_size=1, forced_bos_token_id=forced,
        max_new_tokens=spec.n_new + len(spec.prefix) - 1, bad_words_ids=no_pads,
    )  # fmt: skip
    for i in range(0, len(sources), batch):
        group = sources[i : i + batch]
        steps = DecoderSteps(model, group, padding=config.pad_token_id)
        results = generate(steps, group, options, prompts=[[spec.prefix[0]]] * len(group), most=500)
        rows += [list(best[0].ids[len(spec.prefix) - 1 :]) for best in results]
    different = [n for n, (a, b) in enumerate(zip(rows, expected, strict=True)) if a != b]
    distinct = len({token for row in expected for token in row})
    print(f"\n{name}, {n_beams} beams, {batch} together: {len(rows) - len(different)} of {len(rows)} equal;", end=" ")
    print(f"{sum(map(len, expected))} tokens, {distinct} different ones")
    assert not different, json.dumps([(n, rows[n], expected[n]) for n in different[:5]])
