"""The likeliest next tokens of each row, in place of the logits of a whole vocabulary."""

from typing import NamedTuple

import numpy as np

from ..backend.plain_topk import numpy_topk
from ..errors import CheckError


class Candidates(NamedTuple):
    """The greatest logits of each row, greatest first and equal ones by id, and log Σ e^(logit - greatest) of all.

    n_vocab: how many tokens there are. Shapes: logits and ids [rows, count], log_sums [rows].
    """

    logits: np.ndarray
    ids: np.ndarray
    log_sums: np.ndarray
    n_vocab: int

    def log_probs(self) -> np.ndarray:
        """Return log probabilities. Shapes: -> [rows, count]. Raises: CheckError where logits are not finite."""
        if not (np.isfinite(self.log_sums).all() and np.isfinite(self.logits[:, 0]).all()):
            raise CheckError("the model's logits are not finite", fix="validate the converted weights")
        return self.logits - self.logits[:, :1] - self.log_sums[:, None]

    def repeat(self, times: int) -> "Candidates":
        """Return each row several times."""
        if times == 1:
            return self
        logits, ids, log_sums = (np.repeat(part, times, axis=0) for part in self[:3])
        return Candidates(logits, ids, log_sums, self.n_vocab)


def best_candidates(logits: np.ndarray, count: int) -> Candidates:
    """Return the likeliest tokens. Shapes: logits [rows, V]."""
    return Candidates(*numpy_topk(logits, count), logits.shape[1])
