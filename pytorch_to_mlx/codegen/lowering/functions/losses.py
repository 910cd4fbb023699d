"""Losses with a target per element."""

# MLX's types let item and tolist return any scalar, complex ones too. The rules are off for the whole file,
# because a comment on a line would be copied into generated source with it.
# pyright: reportGeneralTypeIssues=false

import mlx.core as mx


def nll_loss(x: mx.array, target: mx.array, weight, reduction: int, ignore: int) -> list[mx.array]:
    """Return the negative log-likelihood of the target class, and the total weight of the targets that count.

    Shapes: x [B, C, *S] or [C], target [B, *S] or [], weight [C] or None -> [] or (for reduction 0) as target, [].
    reduction: 0 none, 1 mean, 2 sum. ignore: the target that does not count.
    """
    single = x.ndim == 1
    x, target = (x[None], target.reshape([1])) if single else (x, target)
    valid = target != ignore
    safe = mx.where(valid, target, 0)
    picked = mx.take_along_axis(x, mx.expand_dims(safe, 1), axis=1).squeeze(1)
    each = mx.ones([x.shape[1]], dtype=x.dtype) if weight is None else weight
    scale = mx.where(valid, mx.take(each, safe), 0)
    loss, total = -picked * scale, mx.sum(scale)
    if reduction == 0:
        return [loss[0] if single else loss, mx.zeros([], dtype=x.dtype)]
    return [mx.sum(loss) / total if reduction == 1 else mx.sum(loss), total]


def multi_margin_loss(x: mx.array, target: mx.array, p: int, margin: float, weight) -> mx.array:
    """Return Σ max(0, margin - x[target] + x[class]) ** p over the other classes, divided by all C of them.

    Shapes: x [B, C] or [C], target [B] or [], weight [C] or None -> [B] or [].
    """
    single = x.ndim < 2
    x = x.reshape([1, -1]) if single else x
    target = target.reshape([-1, 1])
    loss = mx.maximum(margin - mx.take_along_axis(x, target, axis=1) + x, 0)
    loss = loss if p == 1 else mx.power(loss, p)
    if weight is not None:
        loss = loss * mx.take(weight, target)
    loss = mx.where(mx.arange(x.shape[1])[None, :] == target, 0, loss)
    loss = mx.sum(loss, axis=1) / x.shape[1]
    return loss[0] if single else loss


def multilabel_margin_loss(x: mx.array, target: mx.array) -> list[mx.array]:
    """Return the hinge loss of every target class against every other class, and the target mask.

    Shapes: x and target [B, C] or [C] -> [B] or [], and a mask like x. The targets are those before the first -1.
    """
    shape = x.shape
    rows, labels = x.reshape([-1, shape[-1] if shape else 1]), target.reshape([-1, shape[-1] if shape else 1])
    counts = mx.cumprod((labels >= 0).astype(mx.int32), axis=1) > 0
    onehot = (labels[:, :, None] == mx.arange(rows.shape[1])) & counts[:, :, None]
    is_target = mx.any(onehot, axis=1)
    picked = mx.take_along_axis(rows, mx.maximum(labels, 0), axis=1)
    hinge = mx.maximum(1 - picked[:, :, None] + rows[:, None, :], 0)
    hinge = mx.where(counts[:, :, None] & mx.logical_not(is_target)[:, None, :], hinge, 0)
    loss = mx.sum(hinge, axis=(1, 2)) / rows.shape[1]
    return [loss.reshape(shape[:-1]), is_target.reshape(shape).astype(x.dtype)]


def ctc_loss(log_probs: mx.array, targets: mx.array, input_lengths, target_lengths, blank: int) -> mx.array:
    """Return the negative log-probability of every target, over all alignments.

    Shapes: log_probs [T, B, C] or [T, C]; targets [B, S] or one after the other -> [B] or [].
    Source: Graves et al. 2006, section 4.1.
    """
    single = log_probs.ndim == 2
    log_probs = log_probs[:, None] if single else log_probs
    frames = input_lengths if isinstance(input_lengths, list | tuple) else input_lengths.reshape([-1]).tolist()
    sizes = target_lengths if isinstance(target_lengths, list | tuple) else target_lengths.reshape([-1]).tolist()
    packed = targets.ndim == 1
    losses, start = [], 0
    for item, (length, size) in enumerate(zip(frames, sizes, strict=True)):
        labels = targets[start : start + size] if packed else targets[item, :size]
        start += size
        states = [blank]
        for label in labels.tolist():
            states += [label, blank]
        ids = mx.array(states)
        skip = mx.array([i > 1 and s != blank and s != states[i - 2] for i, s in enumerate(states)])
        forward = mx.where(mx.arange(len(states)) < 2, log_probs[0, item][ids], -mx.inf)
        low = mx.full([2], -mx.inf)
        for frame in range(1, length):
            step = mx.concatenate([low, forward])
            jump = mx.where(skip, step[:-2], -mx.inf)
            options = mx.stack([forward, step[1:-1], jump])
            top = mx.max(options, axis=0)
            safe = mx.where(top == -mx.inf, 0, top)
            forward = safe + mx.log(mx.sum(mx.exp(options - safe), axis=0)) + log_probs[frame, item][ids]
        ends = forward[-2:] if size else forward[-1:]
        losses.append(-mx.logsumexp(ends))
    stacked = mx.stack(losses)
    return stacked[0] if single else stacked
