"""What `validate` found: every tap of every case, and the first that diverges."""

from dataclasses import dataclass, field

from ..errors import CheckError
from .compare import TapResult


@dataclass(frozen=True)
class CaseResult:
    """One input. `taps` stand in the order in which the model computes them."""

    name: str
    taps: tuple[TapResult, ...]


@dataclass(frozen=True)
class Report:
    """The whole comparison. `problems` are the ones that belong to no single tap."""

    family: str
    source: str
    cases: tuple[CaseResult, ...]
    problems: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.problems and self.first_bad is None

    @property
    def first_bad(self) -> tuple[str, TapResult] | None:
        """Case name and result of the first tap that diverges."""
        for case in self.cases:
            for tap in case.taps:
                if not tap.passed:
                    return case.name, tap
        return None

    def worst(self) -> dict[str, TapResult]:
        """Tap name -> its worst result over all cases: a failure, else the largest relative error."""
        found: dict[str, TapResult] = {}
        for tap in (tap for case in self.cases for tap in case.taps):
            best = found.get(tap.name)
            if best is None or (not tap.passed, tap.relative) > (not best.passed, best.relative):
                found[tap.name] = tap
        return found

    def check(self) -> "Report":
        """Return self. Raises CheckError naming the first tap that diverges."""
        if self.passed:
            return self
        details = list(self.problems)
        for case in self.cases:
            details += [f"{case.name}: {tap.name}: {describe(tap)}" for tap in case.taps if not tap.passed]
        bad = self.first_bad
        what = f"differs from PyTorch first at tap '{bad[1].name}' (case '{bad[0]}')" if bad else "is incomplete"
        raise CheckError(f"{self.family} {what}", where=self.source, details=details)


def describe(tap: TapResult) -> str:
    """One failed tap in words: what is wrong and where."""
    text = tap.problem
    if tap.ours is not None:
        text += f" at {list(tap.index)}: ours {tap.ours:.9g}, PyTorch ({tap.against}) {tap.reference:.9g}"
    return text
