"""The rules for every tensor of a release: five parts, each with its own list. By `model_type`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...weights import Pattern, Rule, WeightMap
from ...weights.rules import Rules, flatten
from .flow.regulated_weights import REGULATED_FLOW
from .flow.weights import DIT_FLOW, FLOW
from .lm.transformer_weights import TRANSFORMER_LM
from .lm.weights import LM, MERGED_LM
from .vocoder.weights import CAUSAL_HIFT, HIFT
from .voice.campplus_weights import CAMPPLUS
from .voice.s3_tokenizer_weights import S3_TOKENIZER
from .voice.vq_tokenizer_weights import VQ_TOKENIZER


def prefix_rules(source: str, target: str, rules: Iterable[Rules]) -> tuple[Rule, ...]:
    """Return a part's rules under its names in the whole release (`source`) and in the whole model (`target`)."""

    def add_prefix(prefix: str, patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
        return tuple(Pattern(f"{prefix}.{pattern.text}") for pattern in patterns)

    return tuple(
        replace(
            rule,
            sources=add_prefix(source, rule.sources),
            targets=add_prefix(source if rule.kind == "tie" else target, rule.targets),
            group=rule.group and f"{source}: {rule.group}",
        )
        for rule in flatten(rules)
    )


def release_rules(
    llm: Iterable[Rules], flow: Iterable[Rules], hift: Iterable[Rules], speech_tokenizer: Iterable[Rules] = S3_TOKENIZER
) -> WeightMap:
    """Return the rules of a release, whose CAM++ is that of every version."""
    return WeightMap(
        prefix_rules("llm", "lm", llm),
        prefix_rules("flow", "flow", flow),
        prefix_rules("hift", "hift", hift),
        prefix_rules("campplus", "campplus", CAMPPLUS),
        prefix_rules("speech_tokenizer", "speech_tokenizer", speech_tokenizer),
        file=__file__,
    )


WEIGHTS: Mapping[str, WeightMap] = {
    "cosyvoice": release_rules(TRANSFORMER_LM, REGULATED_FLOW, HIFT, VQ_TOKENIZER),
    "cosyvoice2": release_rules(LM, FLOW, HIFT),
    "cosyvoice3": release_rules(MERGED_LM, DIT_FLOW, CAUSAL_HIFT),
}
