"""A release gate: is the second of two files worse than the first beyond chance?

All metrics of a gate are tests on one sample, so they are corrected with Holm's procedure (A simple sequentially
rejective multiple test procedure, 1979): all `m` at the confidence 1 - 0.05/m, then the remaining ones at the
confidence for their number, until no interval excludes 0. As far as the intervals keep their coverage, an equal release
is stopped in at most one of twenty comparisons, however many metrics are tested (docs/evaluation.md has the measured
rate). An inconclusive metric does not stop a release; its minimum detectable effect is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.statistics import Correction
from evaluation.statistics.bootstrap import CONFIDENCE, Interval
from evaluation.statistics.paired import Difference, Verdict


@dataclass(frozen=True)
class GatedFigure:
    """A metric that the gate tested, with the confidence at which it was rejected or last tested."""

    item: Difference
    confidence: float
    verdict: Verdict

    @property
    def interval(self) -> Interval | None:
        """The interval of the difference with this confidence."""
        return self.item.interval_at(self.confidence)

    @property
    def minimum_detectable_effect(self) -> float | None:
        """The smallest worsening that this sample could show with this confidence; None where it can show none."""
        return self.item.minimum_detectable_effect(self.confidence)

    def is_underpowered(self, fall: float) -> bool:
        """Whether a share is inconclusive, and the sample could not have shown a fall of this size."""
        smallest = self.minimum_detectable_effect
        return self.verdict == "inconclusive" and self.item.metric.is_share and (smallest is None or smallest > fall)


@dataclass(frozen=True)
class Gate:
    """The gate's result for all tested metrics, in their order."""

    correction: Correction
    figures: tuple[GatedFigure, ...]

    @property
    def worse(self) -> tuple[GatedFigure, ...]:
        """The metrics that fail the gate."""
        return tuple(figure for figure in self.figures if figure.verdict == "worse")


def apply_gate(items: Sequence[Difference], correction: Correction = Correction.HOLM) -> Gate:
    """Test all differences as one family."""
    levels = _holm(items) if correction is Correction.HOLM else [CONFIDENCE] * len(items)
    figures = [GatedFigure(item, level, item.verdict_at(level)) for item, level in zip(items, levels, strict=True)]
    return Gate(correction, tuple(figures))


def _holm(items: Sequence[Difference]) -> list[float]:
    """The confidence at which each was rejected, or last tested."""
    levels = [CONFIDENCE] * len(items)
    left = list(range(len(items)))
    while left:
        level = 1 - (1 - CONFIDENCE) / len(left)
        for place in left:
            levels[place] = level
        still = [place for place in left if items[place].verdict_at(level) == "inconclusive"]
        if len(still) == len(left):
            return levels
        left = still
    return levels
