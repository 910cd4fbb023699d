"""The rules for every tensor of a release: five parts, each with its own list."""

from collections.abc import Iterable
from dataclasses import replace

from ...weights import Pattern, Rule, WeightMap
from ...weights.rules import Rules, flatten
from .flow.weights import FLOW
from .lm.weights import LM
from .release.files import extra_files, is_release, open_release
from .vocoder.weights import HIFT
from .voice.campplus_weights import CAMPPLUS
from .voice.s3_tokenizer_weights import S3_TOKENIZER

__all__ = ["WEIGHTS", "extra_files", "is_release", "open_release"]


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


WEIGHTS = WeightMap(
    prefix_rules("llm", "lm", LM),
    prefix_rules("flow", "flow", FLOW),
    prefix_rules("hift", "hift", HIFT),
    prefix_rules("campplus", "campplus", CAMPPLUS),
    prefix_rules("speech_tokenizer", "speech_tokenizer", S3_TOKENIZER),
    file=__file__,
)
