"""Rules on logits against openai-whisper's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from whisper.decoding import ApplyTimestampRules

from pytorch_to_mlx.errors import CheckError
from pytorch_to_mlx.generate.logits import TimestampRules, log_softmax, suppress

EOT, NO_TIMESTAMPS, BEGIN, VOCAB = 50, 55, 56, 76


@pytest.mark.parametrize(
    "sampled",
    [(), (56,), (56, 3), (56, 3, 4, 60), (56, 3, 60, 60), (56, 3, 60, 60, 5), (3, 60), (56, 57), (60, 1, 75, 75, 2)],
)
@pytest.mark.parametrize("first", [None, 5])
@pytest.mark.parametrize("seed", range(4))
def test_timestamp_rules_are_openai_s(sampled, first, seed):
    tokenizer = SimpleNamespace(eot=EOT, no_timestamps=NO_TIMESTAMPS, timestamp_begin=BEGIN)
    logits = np.random.default_rng(seed).normal(scale=3, size=(1, VOCAB)).astype(np.float32)
    theirs = torch.from_numpy(logits.copy())
    ApplyTimestampRules(tokenizer, 2, first).apply(theirs, torch.tensor([[9, 9, *sampled]]))
    TimestampRules(BEGIN, EOT, NO_TIMESTAMPS, first).apply(logits, [sampled])
    assert np.array_equal(logits, theirs.numpy())


def test_log_softmax_is_torch_s():
    logits = np.random.default_rng(0).normal(scale=20, size=(3, 1000)).astype(np.float32)
    logits[0, :500] = -np.inf
    assert np.allclose(log_softmax(logits), torch.from_numpy(logits).log_softmax(-1).numpy(), atol=1e-5)


def test_suppressed_tokens_are_never_chosen():
    logits = np.ones((2, 5), np.float32)
    suppress(logits, [1, 3])
    assert (log_softmax(logits)[:, [1, 3]] == -np.inf).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_79_broken_logits_stop_the_run(bad):
    with pytest.raises(CheckError, match="not finite"):
        log_softmax(np.array([[0.0, bad]], np.float32))
