"""One figure of a benchmark, for both sides."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One figure of both sides. A `ratio` above 1 means that ours needs less, by that factor."""

    workload: str
    measure: str
    unit: str
    ours: float | None
    torch: float | None = None

    @property
    def ratio(self) -> float | None:
        """Return torch / ours; None where a side was not measured or is 0."""
        return self.torch / self.ours if self.ours and self.torch else None
