"""How far repeated verdicts agree.

The share of trajectories with one verdict throughout, and Krippendorff's alpha for names (Krippendorff, Content
Analysis, 2004, chapter 11), which heeds how often they would agree by chance, and does without what is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Values = Sequence[str]


def unanimous_share(units: Sequence[Values]) -> float | None:
    """The share of units whose values, two at least, are all the same; None without such a unit."""
    judged = [values for values in units if len(values) > 1]
    return sum(len(set(values)) == 1 for values in judged) / len(judged) if judged else None


def krippendorff_alpha(units: Sequence[Values]) -> float | None:
    """1 where all agree, 0 where they do as by chance. None where fewer than two values meet, or all are the same."""
    judged = [Counter(values) for values in units if len(values) > 1]
    totals = sum(judged, Counter())
    pairable = totals.total()
    expected = pairable**2 - sum(count**2 for count in totals.values())
    if not expected:
        return None
    observed = sum(_disagreeing(counts) / (counts.total() - 1) for counts in judged)
    return 1 - (pairable - 1) * observed / expected


def _disagreeing(counts: Counter[str]) -> int:
    """Ordered pairs of unlike values."""
    return counts.total() ** 2 - sum(count**2 for count in counts.values())
