"""The complete story of every tensor of a release: five parts, each with its own list of rules."""

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


def part(source: str, target: str, rules: Iterable[Rules]) -> tuple[Rule, ...]:
    """A part's rules under the names that the whole release and the whole model have for it."""

    def named(prefix: str, patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
        return tuple(Pattern(f"{prefix}.{pattern.text}") for pattern in patterns)

    return tuple(
        replace(
            rule,
            sources=named(source, rule.sources),
            targets=named(source if rule.kind == "tie" else target, rule.targets),
            group=rule.group and f"{source}: {rule.group}",
        )
        for rule in flatten(rules)
    )


WEIGHTS = WeightMap(
    part("llm", "lm", LM),
    part("flow", "flow", FLOW),
    part("hift", "hift", HIFT),
    part("campplus", "campplus", CAMPPLUS),
    part("speech_tokenizer", "speech_tokenizer", S3_TOKENIZER),
    file=__file__,
)
