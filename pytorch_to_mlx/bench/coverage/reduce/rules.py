"""The rules that reduce a config: the names of fields, and a smaller value for each."""

from collections.abc import Callable, Iterator
from typing import Any

from .fields import matches

WIDTH, HEAD_DIM, LAYERS = 32, 8, 2
HEADS, VOCABULARY, POSITIONS = 4, 128, 64
WIDER = ((64, 16), (128, 64), (256, 64))
"""Widths of the model and of its heads, for models whose code fixes a size of its own."""
DEEPER = (3, 4, 8)
"""Layers, for models that mix kinds of layers."""

Rule = tuple[str, Callable[[Any], Any]]
"""Words for the field's name (see `matches`), and the new value from the old one."""
Group = tuple[Rule, ...]
"""Rules for fields that depend on each other. Groups are tried whole, then field by field."""


def _elementwise(rule: Callable[[int], int]) -> Callable[[Any], Any]:
    """Apply a rule for a number to a number, or to each of a list."""
    return lambda value: [rule(n) for n in value] if isinstance(value, list | tuple) else rule(value)


def _at_most(limit: int) -> Callable[[Any], Any]:
    return _elementwise(lambda n: min(n, limit))


def _fixed(value: int) -> Callable[[Any], Any]:
    """Replace a number; lists stay as they are."""
    return lambda old: value if isinstance(old, int) else old


def _stages(step: int) -> Callable[[Any], Any]:
    """Replace a list of widths, one for each stage, by multiples of `step`."""
    return lambda old: [step * (i + 1) for i in range(len(old))] if isinstance(old, list | tuple) else old


def _scaled_to(smallest: int) -> Callable[[Any], Any]:
    """Scale a list so that its smallest number becomes `smallest`."""
    return lambda old: [n * smallest // min(old) for n in old] if isinstance(old, list | tuple) else old


def _power_of_two(n: int) -> int:
    """Return the largest power of two that is at most n and at most HEADS; 1 for less."""
    return 1 << (min(max(n, 1), HEADS).bit_length() - 1)


def _last_ids(n: int) -> int:
    """Return a token id that the reduced vocabulary has: ids past its first part move into its last 32."""
    return n if n < VOCABULARY - 32 else VOCABULARY - 1 - n % 32


def rule_groups(width: int = WIDTH, head_dim: int = HEAD_DIM, layers: int = LAYERS) -> tuple[Group, ...]:
    """Return the rules for one width of a model and of its heads, and one number of layers."""
    return (
        (  # depth
            (
                "num_hidden_layers n_layers? num_layers depth num_blocks .*_layers .*_num_layers num_.*_blocks depths "
                "layers .*_depths stage_.*blocks blocks_per_stage",
                _at_most(layers),
            ),
        ),
        (  # vocabulary
            ("vocab_size.* .*_vocab_size codebook_size n_vocab .*_vocab", _at_most(VOCABULARY)),
            (".*_token_(ids?|index)", _elementwise(_last_ids)),
        ),
        (  # widths and heads
            (
                "hidden_size d_model n_embd dim width embed_dim embedding_size hidden_dim model_dim .*hidden_size "
                ".*embed_dim .*projection_dim emb_dim embedding_dim encoder_dim text_dim",
                _fixed(width),
            ),
            (
                "intermediate_size ffn_dim d_ff .*_ffn_dim mlp_dim n_inner d_inner .*intermediate_size .*_ff_dim "
                ".*mlp_dim feed_forward.* ffn_hidden_size .*_ffn_hidden_size",
                _fixed(2 * width),
            ),
            (
                "num_attention_heads num_heads n_heads? nhead .*attention_heads .*num_heads .*_n_heads?",
                _elementwise(_power_of_two),
            ),
            ("num_key_value_heads n_kv_heads? .*num_key_value_heads .*kv_heads", _at_most(2)),
            ("head_dim d_kv v_head_dim qk_.*head_dim d_head head_size .*head_dim", _fixed(head_dim)),
            (".*lora_rank", _fixed(16)),
            ("hidden_size_per_.*", _at_most(16)),
            ("embed_dim_per_stage backbone_channel_list", _scaled_to(width)),
            ("hidden_sizes .*_hidden_sizes .*embed_dims?", _stages(width // 4)),
        ),
        (  # positions
            (
                "max_position_embeddings n_positions max_.*positions max_seq_len(gth)? n_ctx max_sequence_length "
                "seq_length context_length",
                _at_most(POSITIONS),
            ),
        ),
        # images
        ((".*image_size", _at_most(64)), ("patch_size", _at_most(8))),
        (  # experts
            (".*num_experts n_routed_experts num_local_experts", _at_most(4)),
            ("num_experts_per_tok(en)? moe_k (?!index_).*topk .*top_k", _at_most(2)),
            ("n_group num_(expert_)?groups? topk_group num_limited_groups? n_shared_experts", _fixed(1)),
        ),
        (  # states, queries and what else is wide
            (
                "state_size mamba_d_state ssm_state_size conv_kernel mamba_.*dim linear_.*_dim lru_width mamba_d_head "
                "time_step_rank mamba_dt_rank",
                _at_most(16),
            ),
            (
                "num_queries num_query_tokens num_latents num_object_queries num_virtual.* max_source_positions "
                "num_register_tokens",
                _at_most(12),
            ),
            (
                "d_latents latent_dim latent_size q_dim kv_dim conv_dim .*channels .*_dims .*_groups",
                _at_most(width),
            ),
            (".*num_filters", _at_most(4)),
            (".*_dim (?!.*vocab|spec_).*_size .*_rank .*_features", _at_most(2 * width)),
        ),
    )


GROUPS = rule_groups()
"""The rules of the smallest sizes."""


def changes(config: Any, group: Group) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a config that a group would change, each with its new value."""
    for name, value in list(vars(config).items()):
        if isinstance(value, bool) or not isinstance(value, int | list | tuple) or name.startswith("_"):
            continue
        if name == "num_layers" and vars(config).get("out_features"):
            continue  # the stages of a backbone
        if isinstance(value, list | tuple) and not (value and all(type(n) is int for n in value)):
            continue
        rule = next((rule for words, rule in group if matches(words, name)), None)
        if rule is None:
            continue
        new = rule(value)
        if new != value and new != list(value if isinstance(value, list | tuple) else [value]):
            yield name, new
