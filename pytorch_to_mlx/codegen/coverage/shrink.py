"""Make any Hugging Face architecture tiny: rules by the names of config fields, kept only if the model still runs.

A rule is tried on the meta device, where building and running cost nothing, and dropped if the model breaks.
"""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

WIDTH, HEADS, HEAD, LAYERS, VOCABULARY, POSITIONS = 32, 4, 8, 2, 128, 64
WIDER = ((64, 16), (128, 64))  # for models whose code fixes a size of its own

LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "depth", "encoder_layers", "decoder_layers")

# Groups are tried whole, then field by field. A rule: words for the field's name -> new value from the old one.
Rule = tuple[str, Callable[[Any], Any]]


def _each(rule: Callable[[int], int]) -> Callable[[Any], Any]:
    """A rule for a number, applied to a number or to each of a list."""
    return lambda value: [rule(n) for n in value] if isinstance(value, list | tuple) else rule(value)


def _most(limit: int) -> Callable[[Any], Any]:
    return _each(lambda n: min(n, limit))


def _number(value: int) -> Callable[[Any], Any]:
    """A number instead of a number; lists keep theirs."""
    return lambda old: value if isinstance(old, int) else old


def _steps(step: int) -> Callable[[Any], Any]:
    """Growing widths for the stages of a list."""
    return lambda old: [step * (i + 1) for i in range(len(old))] if isinstance(old, list | tuple) else old


_heads = _each(lambda n: 1 << (min(max(n, 1), HEADS).bit_length() - 1))
_token = _each(lambda n: n if n < VOCABULARY - 32 else VOCABULARY - 1 - n % 32)


def groups(width: int = WIDTH, head: int = HEAD) -> tuple[tuple[Rule, ...], ...]:
    """The rules for one width of a model and of its heads."""
    return (
        (
            (
                "num_hidden_layers n_layers? num_layers depth num_blocks .*_layers .*_num_layers num_.*_blocks depths "
                "layers .*_depths stage_.*blocks",
                _most(LAYERS),
            ),
        ),
        (
            ("vocab_size .*_vocab_size codebook_size n_vocab", _most(VOCABULARY)),
            (".*_token_(ids?|index)", _token),
        ),
        (
            (
                "hidden_size d_model n_embd dim width embed_dim embedding_size hidden_dim model_dim .*hidden_size "
                ".*embed_dim .*projection_dim emb_dim embedding_dim encoder_dim text_dim",
                _number(width),
            ),
            (
                "intermediate_size ffn_dim d_ff .*_ffn_dim mlp_dim n_inner d_inner .*intermediate_size .*_ff_dim "
                ".*mlp_dim feed_forward.* ffn_hidden_size .*_ffn_hidden_size",
                _number(2 * width),
            ),
            ("num_attention_heads num_heads n_heads? nhead .*attention_heads .*num_heads .*_n_heads?", _heads),
            ("num_key_value_heads n_kv_heads? .*num_key_value_heads .*kv_heads", _most(2)),
            ("head_dim d_kv v_head_dim qk_.*head_dim d_head head_size .*head_dim", _number(head)),
            (".*lora_rank", _number(16)),
            ("hidden_sizes .*_hidden_sizes .*embed_dims?", _steps(width // 4)),
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
                "d_latents latent_dim latent_size q_dim kv_dim conv_dim .*channels .*_dims .*_groups",
                _most(width),
            ),
            (".*_dim .*_size .*_rank .*_features", _most(2 * width)),
        ),
    )


GROUPS = groups()


def parts(config: Any) -> Iterator[Any]:
    """A config and every config inside it."""
    yield config
    for value in list(vars(config).values()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from parts(value)


def shrink(config: Any, works: Callable[[Any], bool]) -> Any:
    """A config that is as small as the rules make it and for which `works` is true.

    All groups at once usually work; else all but one, or all but two; else as many as work one after another.
    """
    for rules in (GROUPS, *(groups(*sizes) for sizes in WIDER)):
        if works(candidate := applied(config, rules)):
            return candidate
    for rules in (GROUPS, groups(*WIDER[-1])):
        for left in rules[1:]:
            if works(candidate := applied(config, tuple(group for group in rules if group is not left))):
                return _more(candidate, works)
    best = applied(config, GROUPS[:1])
    if not works(best):
        best = copy.deepcopy(config)
    return _more(best, works)


def _more(best: Any, works: Callable[[Any], bool]) -> Any:
    """Whatever else can still be made smaller, group by group and then field by field."""
    for group in GROUPS:
        fields = sorted(matching(best, group))
        if not fields:
            continue
        whole = applied(best, (group,))
        if works(whole):
            best = whole
            continue
        for field in fields if len(fields) > 1 else ():
            one = applied(best, (group,), field)
            if works(one):
                best = one
    return best


def matching(config: Any, group: tuple[Rule, ...]) -> set[str]:
    """The fields of a config, and of configs inside, that a group would change."""
    return {name for part in parts(config) for name, _ in _changes(part, group)}


def applied(config: Any, groups: tuple[tuple[Rule, ...], ...], only: str | None = None) -> Any:
    """A copy with the rules of some groups applied; a value that the config refuses stays."""
    changed = copy.deepcopy(config)
    for part in parts(changed):
        before = {name: value for name, value in vars(part).items() if type(value) is int}
        for group in groups:
            for name, value in list(_changes(part, group)):
                if only in (None, name):
                    _set(part, name, value)
        _cut_lists(part, before)
        _cut_sections(part, before)
        if before.get("num_key_value_heads") == before.get("num_attention_heads", 0):  # no groups before, none now
            _set(part, "num_key_value_heads", part.num_attention_heads)
    return changed


def _set(part: Any, name: str, value: Any) -> None:
    try:
        setattr(part, name, value)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return


def _cut_lists(part: Any, before: dict[str, int]) -> None:
    """Lists with an entry for every layer get as many as there are layers now: one of each kind, if there is room."""
    for name in LAYER_FIELDS:
        old, new = before.get(name), getattr(part, name, None)
        if old is None or type(new) is not int or new >= old:
            continue
        for field, value in list(vars(part).items()):
            if isinstance(value, list | tuple) and len(value) == old and old > 1:
                words = list(dict.fromkeys(item for item in value if isinstance(item, str)))
                kinds = [value.index(word) for word in words]
                places = sorted([*kinds, *(i for i in range(old) if i not in kinds)][:new])
                _set(part, field, type(value)(value[i] for i in places))


def _cut_sections(part: Any, before: dict[str, int]) -> None:
    """Rotary positions of several axes share the halves of a head in the old proportion."""
    new, old = getattr(part, "head_dim", None), before.get("head_dim")
    if old is None and "hidden_size" in before and before.get("num_attention_heads"):
        old = before["hidden_size"] // before["num_attention_heads"]
        new = part.hidden_size // part.num_attention_heads
    for value in vars(part).values():
        sections = value.get("mrope_section") if isinstance(value, dict) else None
        if sections and new and old and all(n * new % old == 0 for n in sections):
            value["mrope_section"] = [n * new // old for n in sections]


def _changes(config: Any, group: tuple[Rule, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(config).items()):
        if isinstance(value, bool) or not isinstance(value, int | list | tuple) or name.startswith("_"):
            continue
        if isinstance(value, list | tuple) and not (value and all(type(n) is int for n in value)):
            continue
        for words, rule in group:
            if any(re.fullmatch(word, name) for word in words.split()):
                new = rule(value)
                if new != value and new != list(value if isinstance(value, list | tuple) else [value]):
                    yield name, new
                break
