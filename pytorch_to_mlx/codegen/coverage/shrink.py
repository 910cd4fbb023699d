"""Make any Hugging Face architecture tiny: rules by the names of config fields, kept only if the model still runs.

A rule is tried on the meta device, where building and running cost nothing, and dropped if the model breaks.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

WIDTH, HEADS, HEAD, LAYERS, VOCABULARY, POSITIONS = 32, 4, 8, 2, 128, 64

# Groups are tried whole, then field by field. A rule: words for the field's name -> new value from the old one.
Rule = tuple[str, Callable[[Any], Any]]


def _most(limit: int) -> Callable[[Any], Any]:
    """No more than a limit, for a number or for each of a list."""
    return lambda value: [min(n, limit) for n in value] if isinstance(value, list | tuple) else min(value, limit)


def _number(value: int) -> Callable[[Any], Any]:
    """A number instead of a number; lists keep theirs."""
    return lambda old: value if isinstance(old, int) else old


def _steps(value: Any) -> Any:
    return [8 * (i + 1) for i in range(len(value))]


def _token(value: int) -> int:
    return value if value < VOCABULARY - 32 else VOCABULARY - 1 - value % 32


GROUPS: tuple[tuple[Rule, ...], ...] = (
    (
        (
            "num_hidden_layers n_layers? num_layers depth num_blocks .*_layers .*_num_layers num_.*_blocks depths "
            "layers .*_depths stage_.*blocks",
            _most(LAYERS),
        ),
    ),
    (
        ("vocab_size .*_vocab_size codebook_size n_vocab", _most(VOCABULARY)),
        (".*_token_(id|index)", _token),
    ),
    (
        (
            "hidden_size d_model n_embd dim width embed_dim embedding_size hidden_dim model_dim .*hidden_size "
            ".*embed_dim .*projection_dim emb_dim embedding_dim encoder_dim text_dim",
            _number(WIDTH),
        ),
        (
            "intermediate_size ffn_dim d_ff .*_ffn_dim mlp_dim n_inner d_inner .*intermediate_size .*_ff_dim .*mlp_dim "
            "feed_forward.* ffn_hidden_size .*_ffn_hidden_size",
            _number(2 * WIDTH),
        ),
        ("num_attention_heads num_heads n_heads? nhead .*attention_heads .*num_heads .*_n_heads?", _most(HEADS)),
        ("num_key_value_heads n_kv_heads? .*num_key_value_heads .*kv_heads", _most(2)),
        ("head_dim d_kv v_head_dim qk_.*head_dim d_head head_size .*head_dim", _number(HEAD)),
        (".*lora_rank", _number(16)),
        ("hidden_sizes .*_hidden_sizes .*embed_dims?", _steps),
    ),
    (
        (
            "max_position_embeddings n_positions max_.*positions max_seq_len(gth)? n_ctx max_sequence_length "
            "seq_length context_length",
            _most(POSITIONS),
        ),
    ),
    ((".*image_size", _most(64)), ("patch_size", _most(8))),
    (
        (".*num_experts n_routed_experts num_local_experts", _most(4)),
        ("num_experts_per_tok(en)? moe_k .*topk .*top_k", _most(2)),
        ("n_group topk_group n_shared_experts", _number(1)),
    ),
    (
        (
            "state_size mamba_d_state ssm_state_size conv_kernel mamba_.*dim linear_.*_dim lru_width mamba_d_head "
            "time_step_rank mamba_dt_rank",
            _most(16),
        ),
        (
            "num_queries num_query_tokens num_latents num_object_queries num_virtual.* max_source_positions "
            "num_register_tokens",
            _most(12),
        ),
        (
            "d_latents latent_dim latent_size q_dim kv_dim conv_dim .*channels .*_dims",
            _most(WIDTH),
        ),
        (".*_dim .*_size .*_rank .*_features", _most(2 * WIDTH)),
    ),
)


def parts(config: Any) -> Iterator[Any]:
    """A config and every config inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from parts(value)


def shrink(config: Any, works: Callable[[Any], bool]) -> Any:
    """A config as small as the rules make it while `works` stays true."""
    best = copy.deepcopy(config)
    layers = applied(best, GROUPS[0])
    best = layers if works(layers) else best  # first, because deep models are slow even on the meta device
    for group in GROUPS[1:]:
        whole = applied(best, group)
        if works(whole):
            best = whole
            continue
        for field in sorted(matching(best, group)):
            one = applied(best, group, field)
            if works(one):
                best = one
    return best


def matching(config: Any, group: tuple[Rule, ...]) -> set[str]:
    """The fields of a config, and of configs inside, that a group would change."""
    return {name for part in parts(config) for name, _ in _changes(part, group)}


def applied(config: Any, group: tuple[Rule, ...], only: str | None = None) -> Any:
    """A copy with the rules of a group applied; a value that the config refuses stays."""
    changed = copy.deepcopy(config)
    for part in parts(changed):
        for name, value in list(_changes(part, group)):
            if only in (None, name):
                try:
                    setattr(part, name, value)
                except (TypeError, ValueError, AttributeError, NotImplementedError):
                    continue
    return changed


def _changes(config: Any, group: tuple[Rule, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(config).items()):
        if isinstance(value, bool) or not isinstance(value, int | list | tuple) or name.startswith("_"):
            continue
        if isinstance(value, list | tuple) and not (value and all(type(n) is int for n in value)):
            continue
        for words, rule in group:
            if any(re.fullmatch(word, name) for word in words.split()):
                if isinstance(value, int) == (rule is not _steps) or (rule is not _steps and rule is not _token):
                    new = rule(value)
                    if new != value:
                        yield name, new
                break
