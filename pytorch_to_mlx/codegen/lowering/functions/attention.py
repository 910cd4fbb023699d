"""Scaled dot-product attention in the forms that mx.fast does not cover."""

import mlx.core as mx


def attention(q, k, v, mask, causal: bool, scale: float, grouped: bool) -> mx.array:
    """Compute softmax(q kᵀ scale + mask) v. A row that may attend to nothing gives 0, as torch does for boolean masks.

    Shapes: q [..., L, D], k [..., S, D], v [..., S, Dv] -> [..., L, Dv]; the mask broadcasts to [..., L, S].
    causal: row i attends to columns 0 … i. grouped: a key head (axis -3) may serve several query heads.
    Source: Vaswani et al. 2017, eq. 1.
    """
    if grouped and k.shape[-3] != q.shape[-3]:
        k = mx.repeat(k, q.shape[-3] // k.shape[-3], axis=-3)
        v = mx.repeat(v, q.shape[-3] // v.shape[-3], axis=-3)
    scores = (q * scale) @ k.swapaxes(-1, -2)
    if causal:
        mask = mx.arange(scores.shape[-2])[:, None] >= mx.arange(scores.shape[-1])[None, :]
    if mask is not None:
        scores = mx.where(mask, scores, -mx.inf) if mask.dtype == mx.bool_ else scores + mask
    weights = mx.softmax(scores, axis=-1)
    if mask is not None:
        weights = mx.where(mx.all(scores == -mx.inf, axis=-1, keepdims=True), 0, weights)
    return weights @ v


def masked_attention(q, k, v, mask: mx.array, scale: float) -> mx.array:
    """Attend under a boolean mask with mx.fast. A row that attends to nothing gives 0; mx.fast gives the mean of v.

    Shapes: q [B, H, L, D], k [B, G, S, D], v [B, G, S, Dv] -> [B, H, L, Dv]; the mask broadcasts to [B, H, L, S].
    """
    y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    return mx.where(mx.any(mask, axis=-1, keepdims=True), y, 0)
