"""The rules of sampling against transformers' classes, on random scores."""

import numpy as np
import pytest
import torch
from transformers.generation import logits_process as theirs

from pytorch_to_mlx.generate.options import GenerationOptions
from pytorch_to_mlx.generate.warpers import warpers

RULES = {
    "temperature": (dict(temperature=0.7), lambda n: theirs.TemperatureLogitsWarper(0.7)),
    "top_h": (dict(top_h=0.4), lambda n: theirs.TopHLogitsWarper(0.4)),
    "top_k": (dict(top_k=7), lambda n: theirs.TopKLogitsWarper(7, min_tokens_to_keep=n)),
    "top_k_1": (dict(top_k=1), lambda n: theirs.TopKLogitsWarper(1, min_tokens_to_keep=n)),
    "top_k_all": (dict(top_k=1000), lambda n: theirs.TopKLogitsWarper(1000, min_tokens_to_keep=n)),
    "top_p": (dict(top_p=0.6), lambda n: theirs.TopPLogitsWarper(0.6, min_tokens_to_keep=n)),
    "top_p_0": (dict(top_p=0.0), lambda n: theirs.TopPLogitsWarper(0.0, min_tokens_to_keep=n)),
    "min_p": (dict(min_p=0.2), lambda n: theirs.MinPLogitsWarper(0.2, min_tokens_to_keep=n)),
    "min_p_1": (dict(min_p=1.0), lambda n: theirs.MinPLogitsWarper(1.0, min_tokens_to_keep=n)),
    "typical": (dict(typical_p=0.5), lambda n: theirs.TypicalLogitsWarper(0.5, min_tokens_to_keep=n)),
    "epsilon": (dict(epsilon_cutoff=0.03), lambda n: theirs.EpsilonLogitsWarper(0.03, min_tokens_to_keep=n)),
    "epsilon_9": (dict(epsilon_cutoff=0.9), lambda n: theirs.EpsilonLogitsWarper(0.9, min_tokens_to_keep=n)),
    "eta": (dict(eta_cutoff=0.05), lambda n: theirs.EtaLogitsWarper(0.05, min_tokens_to_keep=n)),
}


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("name", RULES)
def test_beside_transformers(name, beams):
    """20 rows of 60 scores, narrow and wide; one end token, so beams keep two tokens at least."""
    values, build = RULES[name]
    options = GenerationOptions(eos=(0,), do_sample=True, num_beams=beams).changed({"top_k": 0, **values})
    [rule] = warpers(options)
    scores = (np.random.randn(20, 60) * np.linspace(0.1, 6, 20)[:, None]).astype(np.float32)
    expected = build(2 if beams > 1 else 1)(None, torch.from_numpy(scores.copy())).numpy()
    rule([[1]] * 20, scores)
    assert (np.isneginf(scores) == np.isneginf(expected)).all()
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_order_and_what_is_off_by_default():
    """Temperature, top_h, top_k, top_p, min_p, typical, epsilon, eta; top_k of 50 is transformers' default."""
    assert [rule.func.__name__ for rule in warpers(GenerationOptions(do_sample=True))] == ["_top_k"]
    every = GenerationOptions(
        do_sample=True, temperature=2.0, top_h=0.5, top_k=9, top_p=0.5, min_p=0.1, typical_p=0.5, epsilon_cutoff=0.1,
        eta_cutoff=0.1,
    )  # fmt: skip
    names = ["_divide", "_top_h", "_top_k", "_top_p", "_min_p", "_typical", "_epsilon", "_eta"]
    assert [rule.func.__name__ for rule in warpers(every)] == names
