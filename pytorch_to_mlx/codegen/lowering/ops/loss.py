"""Losses that appear inside exported models and in torch's own op tests."""

import math

from ...graph import Unsupported
from ..recorder import fn, let, mx
from .op_table import lowers
from .types import to


def _reduced(x, reduction: int):
    """Reduce as torch numbers it: 0 none, 1 mean, 2 sum."""
    return x if reduction == 0 else mx.mean(x) if reduction == 1 else mx.sum(x)


@lowers("mse_loss.default")
def mse_loss(x, target, reduction=1):
    return _reduced(mx.square(x - target), reduction)


@lowers("l1_loss.default")
def l1_loss(x, target, reduction=1):
    return _reduced(mx.abs(x - target), reduction)


@lowers("smooth_l1_loss.default")
def smooth_l1_loss(x, target, reduction=1, beta=1.0):
    d = let("difference", mx.abs(x - target))
    if beta == 0:
        return _reduced(d, reduction)
    return _reduced(mx.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


@lowers("huber_loss.default")
def huber_loss(x, target, reduction=1, delta=1.0):
    d = let("difference", mx.abs(x - target))
    return _reduced(mx.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


@lowers("soft_margin_loss.default")
def soft_margin_loss(x, target, reduction=1):
    return _reduced(mx.log1p(mx.exp(-x * target)), reduction)


@lowers("binary_cross_entropy.default")
def binary_cross_entropy(x, target, weight=None, reduction=1):
    x, target = let("p", x), let("target", target)
    loss = (target - 1) * mx.maximum(mx.log1p(-x), -100) - target * mx.maximum(mx.log(x), -100)
    return _reduced(loss if weight is None else loss * weight, reduction)


@lowers("binary_cross_entropy_with_logits.default")
def binary_cross_entropy_with_logits(x, target, weight=None, pos_weight=None, reduction=1):
    x, target = let("x", x), let("target", target)
    if pos_weight is None:
        loss = (1 - target) * x + mx.logaddexp(-x, 0)
    else:
        loss = (1 - target) * x + ((pos_weight - 1) * target + 1) * mx.logaddexp(-x, 0)
    return _reduced(loss if weight is None else loss * weight, reduction)


@lowers("nll_loss_forward.default", "nll_loss2d_forward.default")
def nll_loss(x, target, weight, reduction, ignore_index):
    return tuple(fn.nll_loss(x, target, weight, reduction, ignore_index))


@lowers("multi_margin_loss.default")
def multi_margin_loss(x, target, p=1, margin=1, weight=None, reduction=1):
    return _reduced(fn.multi_margin_loss(x, target, p, margin, weight), reduction)


@lowers("multilabel_margin_loss_forward.default")
def multilabel_margin_loss(x, target, reduction):
    loss, is_target = fn.multilabel_margin_loss(x, target)
    return _reduced(loss, reduction), is_target


@lowers("_ctc_loss.default", "_ctc_loss.Tensor")
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, zero_infinity=False):
    loss = fn.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank)
    loss = let("loss", loss)
    return (mx.where(loss == math.inf, 0, loss) if zero_infinity else loss), None  # the other is for a gradient


@lowers("kl_div.default")
def kl_div(x, target, reduction=1, log_target=False):
    if log_target:
        return _reduced(mx.exp(target) * (target - x), reduction)
    target = let("target", target)
    return _reduced(mx.where(target == 0, 0, target * mx.log(target)) - target * x, reduction)


@lowers("torch_nn._linear_cross_entropy_batch_chunked.default")
def linear_cross_entropy(
    x, linear_weight, target, linear_bias, weight, reduction, ignore_index, label_smoothing, batch_chunk_size,
    acc_policy, acc_dtype, allow_retain_graph, compute_input_grad, compute_linear_weight_grad,
    compute_linear_bias_grad, *, result,
):  # fmt: skip
    # torch takes the batch in chunks to save memory, which changes no value
    if compute_input_grad or compute_linear_weight_grad or compute_linear_bias_grad:
        raise Unsupported("linear_cross_entropy: gradients are refused", fix="capture under torch.no_grad()")
    if label_smoothing:
        raise Unsupported(f"linear_cross_entropy: argument label_smoothing={label_smoothing} is not implemented")
    number = {"mean": 1, "sum": 2}[reduction]
    loss = _linear_cross_entropy(x, linear_weight, target, linear_bias, weight, number, ignore_index, acc_dtype)
    return loss, *[mx.zeros(list(meta.shape)) for meta in result[1:]]


@lowers("torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default")
def linear_cross_entropy_each(
    x, linear_weight, target, linear_bias, weight, ignore_index, batch_chunk_size, acc_policy, acc_dtype
):
    return _linear_cross_entropy(x, linear_weight, target, linear_bias, weight, 0, ignore_index, acc_dtype)


def _linear_cross_entropy(x, linear_weight, target, bias, weight, reduction, ignore_index, dtype):
    x, linear_weight, bias, weight = (to(item, dtype) for item in (x, linear_weight, bias, weight))
    logits = x @ linear_weight.T
    logits = let("logits", logits if bias is None else logits + bias)
    scores = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    return fn.nll_loss(scores, target, weight, reduction, ignore_index)[0]
