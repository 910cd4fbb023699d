"""The report of `validate`: every tap of every case, and the first that diverges."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import CheckError
from ..tolerances import worst_element
from ..units import count_text
from .compare import TapResult

MAX_ROWS = 40


@dataclass(frozen=True)
class CaseResult:
    """One input. `taps` stand in the order in which the model computes them."""

    name: str
    taps: tuple[TapResult, ...]


@dataclass(frozen=True)
class Report:
    """The whole comparison. problems: those that belong to no single tap. weights_from: the original's, in words."""

    family: str
    source: str
    cases: tuple[CaseResult, ...]
    problems: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    weights_from: str = ""

    @property
    def passed(self) -> bool:
        """Whether every tap was reached and agrees."""
        return not self.problems and self.first_bad is None

    @property
    def first_bad(self) -> tuple[str, TapResult] | None:
        """The case and the result of the first tap that diverges, in the order of computation."""
        for case in self.cases:
            for tap in case.taps:
                if not tap.passed:
                    return case.name, tap
        return None

    def worst(self) -> dict[str, TapResult]:
        """Return the worst result of each tap over all cases: a failure, else the largest relative error."""
        worst: dict[str, TapResult] = {}
        for tap in (tap for case in self.cases for tap in case.taps):
            other = worst.get(tap.name)
            if other is None or (not tap.passed, tap.relative) > (not other.passed, other.relative):
                worst[tap.name] = tap
        return worst

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        bad = self.first_bad
        first_bad = None if bad is None else {"case": bad[0], "tap": bad[1].name}
        return {"passed": self.passed, "first_bad": first_bad, **self.__dict__}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for every tap of every case, or for the worst of each tap if that makes over MAX_ROWS."""
        results = [(case.name, tap) for case in self.cases for tap in case.taps]
        if len(results) > MAX_ROWS:
            results = [(f"worst of {len(self.cases)}", tap) for tap in self.worst().values()]
        return [
            {
                "case": case,
                "tap": tap.name,
                "shape": "×".join(map(str, tap.shape)),
                "max abs": f"{tap.max_abs:.2e}",
                "relative": f"{tap.relative:.2e}",
                "SNR dB": f"{tap.snr_db:.1f}",
                "reference f32": "" if tap.torch_relative is None else f"{tap.torch_relative:.2e}",
                "against": tap.against,
                "limit": tap.limit,
                "": "pass" if tap.passed else "FAIL",
            }
            for case, tap in results
        ]

    def summary(self) -> str:
        """Return the verdict, the reason of every loosened limit, and the versions."""
        n_taps = sum(len(case.taps) for case in self.cases)
        verdict = "pass: equal within the limits" if self.passed else "FAIL"
        counts = f"{count_text(n_taps, 'tap')} in {count_text(len(self.cases), 'case')}"
        lines = [f"{self.family}: {counts}: {verdict} ({self.source})"]
        if self.weights_from:
            lines.append(f"weights of the reference: {self.weights_from}")
        loosened = {tap.name: tap.why for case in self.cases for tap in case.taps if tap.why}
        lines += [f"limit of {name}: {why}" for name, why in loosened.items()]
        lines.append(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        return "\n".join(lines)

    def check(self) -> "Report":
        """Return self.

        Raises: CheckError naming the first tap that diverges, with every failure in its details.
        """
        if self.passed:
            return self
        details = list(self.problems)
        for case in self.cases:
            details += [f"{case.name}: {tap.name}: {describe(tap)}" for tap in case.taps if not tap.passed]
        bad = self.first_bad
        what = f"differs from PyTorch first at tap '{bad[1].name}' (case '{bad[0]}')" if bad else "is incomplete"
        raise CheckError(f"{self.family} {what}", where=self.source, details=details)


def describe(tap: TapResult) -> str:
    """Return what is wrong with a failed tap and where, in words."""
    if tap.ours is None or tap.reference is None:
        return tap.problem
    return f"{tap.problem} {worst_element(tap.index, tap.ours, tap.reference, tap.against, tap.other)}"
