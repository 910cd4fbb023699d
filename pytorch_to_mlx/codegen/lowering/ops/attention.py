"""Scaled dot-product attention in torch's forms."""

from ...graph import Unsupported
from ..recorder import fn, mx
from .op_table import lowers
from .types import is_static


@lowers("scaled_dot_product_attention.default")
def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if dropout_p:
        raise Unsupported(f"scaled_dot_product_attention: argument dropout_p={dropout_p} is refused: it is random")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    heads = query.ndim == 4 and _fits(query, key, value, enable_gqa)
    if not heads or (is_causal and not _square(query, key)):
        return fn.attention(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    if is_causal:
        return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale, mask="causal")
    if attn_mask is None:
        return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale)
    if attn_mask.dtype == mx.bool_:
        return fn.masked_attention(query, key, value, attn_mask, scale)
    return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale, mask=attn_mask)


def _fits(query, key, value, gqa: bool) -> bool:
    """Return whether mx.fast takes these heads: it groups them by itself, and needs one batch size."""
    sizes = [query.shape[0], key.shape[0], value.shape[0], query.shape[1], key.shape[1], value.shape[1]]
    if not all(is_static(s) for s in sizes[3:]):
        return False
    batch = [getattr(s, "expr", s) for s in sizes[:3]]
    return batch[0] == batch[1] == batch[2] and (gqa or sizes[3] == sizes[4]) and sizes[4] == sizes[5]


def _square(query, key) -> bool:
    """Return whether queries and keys have one length: torch and mx.fast align a causal mask differently otherwise."""
    lengths = [getattr(x.shape[-2], "expr", x.shape[-2]) for x in (query, key)]
    return lengths[0] is not None and lengths[0] == lengths[1]


@lowers("_scaled_dot_product_flash_attention_for_cpu.default")
def flash_attention_for_cpu(query, key, value, dropout_p=0.0, is_causal=False, attn_mask=None, scale=None):
    y = attention(query, key, value, attn_mask, dropout_p, is_causal, scale)
    return y, None


@lowers("_scaled_dot_product_attention_math.default", "_scaled_dot_product_attention_math_for_mps.default")
def attention_math(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, dropout_mask=None, scale=None, enable_gqa=False
):
    y = attention(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    return y, None
