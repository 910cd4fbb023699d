"""What `validate` found: every tap of every case, and the first that diverges."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import CheckError
from .compare import TapResult

MAX_ROWS = 40


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

    def to_dict(self) -> dict[str, Any]:
        bad = self.first_bad
        first_bad = None if bad is None else {"case": bad[0], "tap": bad[1].name}
        return {"passed": self.passed, "first_bad": first_bad, **self.__dict__}

    def rows(self) -> list[dict[str, Any]]:
        """One row for every tap of every case, or the worst of each tap where those are too many to read."""
        every = [(case.name, tap) for case in self.cases for tap in case.taps]
        if len(every) > MAX_ROWS:
            every = [(f"worst of {len(self.cases)}", tap) for tap in self.worst().values()]
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
            for case, tap in every
        ]

    def summary(self) -> str:
        count = sum(len(case.taps) for case in self.cases)
        what = "pass: equal within the limits" if self.passed else "FAIL"
        lines = [f"{self.family}: {count} taps in {len(self.cases)} cases: {what} ({self.source})"]
        loosened = {tap.name: tap.why for case in self.cases for tap in case.taps if tap.why}
        lines += [f"limit of {name}: {why}" for name, why in loosened.items()]
        lines.append(", ".join(f"{name} {version}" for name, version in self.versions.items()))
        return "\n".join(lines)

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
