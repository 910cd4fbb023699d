"""Make any Hugging Face architecture tiny: rules by the names of config fields, kept only if the model still runs.

A rule is tried on the meta device, where building and running cost nothing, and dropped if the model breaks.
"""

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from ...codegen.sources.example_inputs import parts

WIDTH, HEADS, HEAD, LAYERS, VOCABULARY, POSITIONS = 32, 4, 8, 2, 128, 64
IMAGE_TOKEN = VOCABULARY - 40
WIDER = ((64, 16), (128, 64), (256, 64))  # for models whose code fixes a size of its own

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


def _in_proportion(smallest: int) -> Callable[[Any], Any]:
    """A list whose smallest number becomes this one, the others as many times that as before."""
    return lambda old: [n * smallest // min(old) for n in old] if isinstance(old, list | tuple) else old


_heads = _each(lambda n: 1 << (min(max(n, 1), HEADS).bit_length() - 1))
_token = _each(lambda n: n if n < VOCABULARY - 32 else VOCABULARY - 1 - n % 32)


def groups(width: int = WIDTH, head: int = HEAD, layers: int = LAYERS) -> tuple[tuple[Rule, ...], ...]:
    """The rules for one width of a model and of its heads."""
    return (
        (
            (
                "num_hidden_layers n_layers? num_layers depth num_blocks .*_layers .*_num_layers num_.*_blocks depths "
                "layers .*_depths stage_.*blocks blocks_per_stage",
                _most(layers),
            ),
        ),
        (
            ("vocab_size.* .*_vocab_size codebook_size n_vocab .*_vocab", _most(VOCABULARY)),
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
            ("hidden_size_per_.*", _most(16)),
            ("embed_dim_per_stage backbone_channel_list", _in_proportion(width)),
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
            ("num_experts_per_tok(en)? moe_k (?!index_).*topk .*top_k", _most(2)),
            ("n_group num_(expert_)?groups? topk_group num_limited_groups? n_shared_experts", _number(1)),
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
            (".*num_filters", _most(4)),
            (".*_dim (?!.*vocab|spec_).*_size .*_rank .*_features", _most(2 * width)),
        ),
    )


GROUPS = groups()
DEEPER = (3, 4, 8)  # layers, for models that mix kinds of layers

# What a config that is made without a checkpoint may leave open. A rule: words for the field's name, value.
OPEN = (
    ("head_dim .*_head_dim", HEAD),
    ("num_experts n_routed_experts num_local_experts", 4),
    ("num_experts_per_tok(en)? .*top_?k", 2),
    ("n_group topk_group n_shared_experts", 1),
    (".*kv_heads", 1),
    (".*n_heads", 2),
    (".*_compress_ratio", 2),
    (".*_budget prediction_length context_length sliding_window", 8),
    ("attn_layer_indices", [1]),
    (".*_scale_factors", [1.0]),
    ("(image|video|audio)_token_(id|index)", IMAGE_TOKEN),
    ("vocabulary_map", {"<image>": IMAGE_TOKEN, "IMGIMGAZ": IMAGE_TOKEN + 1}),
)
# What a config may lack although the model's code asks for it.
LACKING = (*OPEN, (".*_token_(id|index)", IMAGE_TOKEN + 2), ("num_hidden_layers", LAYERS), (".*dropout.*", 0.0))

# timm's own tiny models, for backbones that are timm models: words in the name of the original.
TIMM = (
    ("vit|eva|deit|dinov|_pe_", "test_vit"),
    (r"net_?v\d|efficientnet|mnasnet", "test_efficientnet"),
    ("", "test_resnet"),
)
TIMM_FIELDS = ("architecture", "backbone")


def shrink(config: Any, works: Callable[[Any], bool]) -> Any:
    """A config that is as small as the rules make it and for which `works` is true.

    All groups at once usually work; else with what the config leaves open filled in, or with layers that do not
    differ; else all but one, or all but two; else as many as work one after another.
    """
    every = (GROUPS, *(groups(*sizes) for sizes in WIDER), *(groups(layers=count) for count in DEEPER))
    starts = {repr(start): start for start in (config, filled(config), uniform(config), filled(uniform(config)))}
    for rules in every:
        for start in starts.values():
            if works(candidate := applied(start, rules)):
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
        if only is None:
            _plain_scale(part)
        before = {name: value for name, value in vars(part).items() if type(value) is int}
        for group in groups:
            for name, value in list(_changes(part, group)):
                if only in (None, name):
                    _set(part, name, value)
        _cut_lists(part, before)
        _add_heads(part, before)
        _keep_wider_heads(part, before)
        _cut_sections(part)
        if before.get("num_key_value_heads") == before.get("num_attention_heads", 0):  # no groups before, none now
            _set(part, "num_key_value_heads", vars(part)["num_attention_heads"])
    for old, new in zip(parts(config), parts(changed), strict=True):
        _timm_channels(new)
        for name in [name for name in vars(new) if name.endswith(("feature_sizes", "image_embedding_size"))]:
            _set(new, name, _scaled(vars(old)[name], _grid(new), _grid(old)))
    return changed


def _grid(config: Any) -> int:
    """How many patches, or pixels, the first image that a config speaks of is wide; 1 if it names none."""
    for part in parts(config):
        side, patch = (
            (value if isinstance(value, list | tuple) else [value])[0]
            for value in (vars(part).get("image_size"), vars(part).get("patch_size", 1))
        )
        if type(side) is int and type(patch) is int:
            return side // patch
    return 1


def _scaled(sizes: Any, new: int, old: int) -> Any:
    """Heights and widths of feature maps, as images are scaled."""
    if isinstance(sizes, list | tuple):
        return type(sizes)(_scaled(size, new, old) for size in sizes)
    return max(sizes * new // old, 1) if type(sizes) is int else sizes


def filled(config: Any) -> Any:
    """A copy with a value for what the config leaves open."""
    changed = copy.deepcopy(config)
    for part in parts(changed):
        for name, value in list(vars(part).items()):
            if value in (None, []) and (new := _named(OPEN, name)) is not None:
                _set(part, name, copy.copy(new))
        layers = vars(part).get("num_hidden_layers")
        if "layer_types" in vars(part) and part.layer_types is None and layers:
            _set(part, "layer_types", ["full_attention"] * layers)
        if vars(part).get("rope_parameters") == {}:
            kinds = dict.fromkeys(vars(part).get("layer_types") or ())
            rope = {"rope_type": "default", "rope_theta": 1e4}
            _set(part, "rope_parameters", {kind: dict(rope) for kind in kinds} or rope)
        if "rope_type" in (rope := vars(part).get("rope_parameters") or {}):
            rope.setdefault("mrope_section", [HEAD // 8, HEAD // 8, HEAD // 4])
    return changed


def lacking(config: Any, error: BaseException) -> bool:
    """Give a config a field that an error says it lacks. Whether it was that, and a value is known."""
    found = re.match(r"'(\w+)' object has no attribute '(\w+)'", str(error))
    if not found or (value := _named(LACKING, found[2])) is None:
        return False
    owners = [part for part in parts(config) if type(part).__name__ == found[1] and found[2] not in vars(part)]
    for part in owners:
        _set(part, found[2], value)
    return bool(owners)


def _named(rules: tuple[tuple[str, Any], ...], name: str) -> Any:
    for words, value in rules:
        if any(re.fullmatch(word, name) for word in words.split()):
            return value
    return None


def uniform(config: Any) -> Any:
    """A copy in which all layers have the same widths."""
    changed = copy.deepcopy(config)
    for part in parts(changed):
        spec = vars(part).get("_heterogeneity_spec")
        if spec is not None:
            part._heterogeneity_spec = type(spec)({}, set(), set())
    return changed


def _set(part: Any, name: str, value: Any) -> None:
    try:
        setattr(part, name, value)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return


def _plain_scale(part: Any) -> None:
    """Factors on widths and depths become one; a timm model becomes one of timm's own tiny ones."""
    for name in ("width_coefficient", "depth_coefficient"):
        if vars(part).get(name):
            _set(part, name, 1.0)
    for field in TIMM_FIELDS:
        if isinstance(original := vars(part).get(field), str):
            _set(part, field, next(tiny for words, tiny in TIMM if re.search(words, original)))


def _timm_channels(part: Any) -> None:
    """The widths of a timm backbone's features, last first, in the list that repeats them."""
    backbone = vars(part).get("backbone_config")
    name = getattr(backbone, "architecture", None)
    if "backbone_channel_list" not in vars(part) or not isinstance(name, str):
        return
    import timm
    import torch

    with torch.device("meta"):
        features = timm.create_model(name, **(backbone.model_args or {})).feature_info
    _set(part, "backbone_channel_list", features.channels()[::-1])


def _cut_lists(part: Any, before: dict[str, int]) -> None:
    """Lists with an entry for every layer get as many as there are layers now: one of each kind, then another."""
    for name in LAYER_FIELDS:
        old, new = before.get(name), getattr(part, name, None)
        if old is None or type(new) is not int or new >= old:
            continue
        for field, value in list(vars(part).items()):
            if isinstance(value, list | tuple) and len(value) == old and old > 1:
                kinds = [item if isinstance(item, str) else "" for item in value]
                places = sorted(sorted(range(old), key=lambda i: kinds[:i].count(kinds[i]))[:new])
                _set(part, field, type(value)(value[i] for i in places))


def _cut_sections(part: Any) -> None:
    """Rotary positions of several axes share the half of a head that is turned, in the old proportion."""
    now = vars(part)
    head, width, heads = (now.get(name) for name in ("head_dim", "hidden_size", "num_attention_heads"))
    if head is None and type(width) is int and type(heads) is int:
        head = width // heads
    for value in list(now.values()):
        sections = value.get("mrope_section") if isinstance(value, dict) else None
        if sections and head:
            turned = value.get("partial_rotary_factor") or now.get("partial_rotary_factor") or 1
            half, whole = int(head * turned) // 2, sum(sections)
            ends = [sum(sections[:i]) * half // whole for i in range(len(sections) + 1)]
            value["mrope_section"] = [end - start for start, end in itertools.pairwise(ends)]


def _add_heads(part: Any, before: dict[str, int]) -> None:
    """The width of a head that has a part with and a part without positions stays the sum of both."""
    names = ("qk_nope_head_dim", "qk_rope_head_dim")
    for whole in ("qk_head_dim", "head_dim"):
        if all(name in before for name in (*names, whole)) and before[whole] == sum(before[name] for name in names):
            _set(part, whole, sum(vars(part)[name] for name in names))


def _keep_wider_heads(part: Any, before: dict[str, int]) -> None:
    """Attention that is a multiple of the model's width stays so, and its heads share it."""
    width, wide = before.get("hidden_size"), before.get("attention_hidden_size")
    if width and wide and wide % width == 0:
        _set(part, "attention_hidden_size", vars(part)["hidden_size"] * (wide // width))
        if heads := vars(part).get("num_attention_heads"):
            _set(part, "attention_head_dim", part.attention_hidden_size // heads)


def _changes(config: Any, group: tuple[Rule, ...]) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(config).items()):
        if isinstance(value, bool) or not isinstance(value, int | list | tuple) or name.startswith("_"):
            continue
        if name == "num_layers" and vars(config).get("out_features"):
            continue  # the stages of a backbone
        if isinstance(value, list | tuple) and not (value and all(type(n) is int for n in value)):
            continue
        for words, rule in group:
            if any(re.fullmatch(word, name) for word in words.split()):
                new = rule(value)
                if new != value and new != list(value if isinstance(value, list | tuple) else [value]):
                    yield name, new
                break
