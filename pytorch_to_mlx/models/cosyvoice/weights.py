"""The rules for every tensor of a release: five parts, each with its own list. By `model_type`."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...weights import Pattern, Rule, WeightMap
from ...weights.rules import Rules, flatten
from .flow.weights import DIT_FLOW, FLOW
from .lm.weights import LM, MERGED_LM
from .vocoder.weights import CAUSAL_HIFT, HIFT
from .voice.campplus_weights import CAMPPLUS
from .voice.s3_tokenizer_weights import S3_TOKENIZER


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


def release_rules(llm: Iterable[Rules], flow: Iterable[Rules], hift: Iterable[Rules]) -> WeightMap:
    """Return the rules of a release whose other two parts are those of every version."""
    return WeightMap(
        prefix_rules("llm", "lm", llm),
        prefix_rules("flow", "flow", flow),
        prefix_rules("hift", "hift", hift),
        prefix_rules("campplus", "campplus", CAMPPLUS),
        prefix_rules("speech_tokenizer", "speech_tokenizer", S3_TOKENIZER),
        file=__file__,
    )


WEIGHTS: Mapping[str, WeightMap] = {
    "cosyvoice2": release_rules(LM, FLOW, HIFT),
    "cosyvoice3": release_rules(MERGED_LM, DIT_FLOW, CAUSAL_HIFT),
}
