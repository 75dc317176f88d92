"""Compare two sets of predictions for the same cases: each difference with a 95 % interval.

The bootstrap is paired (`paired`): both are scored on the same drawn trajectories. Where too few trajectories count,
and where a metric does not notice that predictions are missing, there is no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.errors import CasesDiffer, some
from evaluation.files.published import Pair
from evaluation.metrics import METRICS
from evaluation.scoring import metric_values
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from evaluation.statistics.paired import Difference, paired

REMEDY = "compare two files that were generated from the same suite"
# So begin the names of whole trajectories of which only their number tells.
NAMELESS: Final = "one that neither file has"


@dataclass(frozen=True)
class Comparison:
    """All figures of two files over the same cases, and what lacks a prediction in each.

    `steps` is None where whole trajectories were compared.
    """

    differences: tuple[Difference, ...]
    steps: int | None
    trajectories: int
    first_missing: tuple[str, ...]
    second_missing: tuple[str, ...]
    resamples: int
    seed: int


def compare(
    first: Sequence[Pair], second: Sequence[Pair], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """Compare predictions of the same cases, in any order. Raises `CasesDiffer` or `EmptySuite`."""
    matched = _matched(first, second)
    trajectories = [pair.case.trajectory for pair in first]
    return Comparison(
        differences=_differences(first, matched, trajectories, resamples, seed),
        steps=len(first),
        trajectories=len(set(trajectories)),
        first_missing=_missing(first),
        second_missing=_missing(matched),
        resamples=resamples,
        seed=seed,
    )


def _differences(
    first: Sequence[Pair], second: Sequence[Pair], trajectories: Sequence[str], resamples: int, seed: int
) -> tuple[Difference, ...]:
    incomplete = bool(_missing(first) or _missing(second))
    return paired(
        METRICS,
        trajectories,
        metric_values(first),
        metric_values(second),
        hidden=[incomplete and metric.missing == "nothing" for metric in METRICS],
        resamples=resamples,
        seed=seed,
    )


def _matched(first: Sequence[Pair], second: Sequence[Pair]) -> list[Pair]:
    """The pairs of the second file in the order of the first."""
    by_id = {pair.case.id: pair for pair in second}
    only_first = [pair.case.id for pair in first if pair.case.id not in by_id]
    only_second = sorted(by_id.keys() - {pair.case.id for pair in first})
    if only_first or only_second:
        one, name = ("first", only_first) if only_first else ("second", only_second)
        raise CasesDiffer(f"only the {one} file has the case {some(name)}", remedy=REMEDY)
    matched = [by_id[pair.case.id] for pair in first]
    for what, differ in _PARTS.items():
        others = [one.case.id for one, other in zip(first, matched, strict=True) if differ(one, other)]
        if others:
            raise CasesDiffer(f"the files have other {what} for the case {some(others)}", remedy=REMEDY)
    return matched


def _other_history(one: Pair, other: Pair) -> bool:
    """No figure needs a history, and what others write in the published format may lack it."""
    histories = one.case.history, other.case.history
    return all(histories) and histories[0] != histories[1]


# What has to be the same, and when it is not.
_PARTS: Final[dict[str, Callable[[Pair, Pair], bool]]] = {
    "references": lambda one, other: one.published_reference != other.published_reference,
    "tools": lambda one, other: one.case.tools != other.case.tools,
    "histories": _other_history,
}


def _missing(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(pair.case.id for pair in pairs if pair.prediction is None)
