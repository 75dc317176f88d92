"""Where a difference lies: steps in groups by what was right to do, by their place, and by the tools on offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.compare import compare
from evaluation.files.published import Pair
from evaluation.statistics.gate import Gate, apply_gate
from evaluation.statistics.paired import Difference
from evaluation.steps import StepCase

SHOWN: Final = ("decision_accuracy", "action_em", "call_match", "rouge")
# From so many tools on, up to the next.
_TOOLS: Final = (1, 3, 6, 11)
_LAST_PLACE: Final = 4


@dataclass(frozen=True)
class Group:
    """Some of the steps: how they differ in each shown figure, and what of it is beyond the interval."""

    title: str
    steps: int
    trajectories: int
    differences: tuple[Difference, ...]


def grouped(first: Sequence[Pair], second: Sequence[Pair]) -> list[Group]:
    """The groups that have any step, all of them first. Raises `CasesDiffer`."""
    found = [_group("all steps", first, second)]
    by_id = {pair.case.id: pair for pair in second}
    for title, belongs in _groups():
        chosen = [pair for pair in first if belongs(pair.case)]
        if chosen:
            found.append(_group(title, chosen, [by_id[pair.case.id] for pair in chosen]))
    return found


def held(groups: Sequence[Group]) -> Gate:
    """All differences of all groups, as the one look at one sample that they are."""
    return apply_gate([item for group in groups for item in group.differences])


def _group(title: str, first: Sequence[Pair], second: Sequence[Pair]) -> Group:
    comparison = compare(first, second)
    by_name = {item.metric.name: item for item in comparison.differences}
    shown = tuple(by_name[name] for name in SHOWN)
    return Group(title, comparison.steps or 0, comparison.trajectories, shown)


def _groups() -> Iterator[tuple[str, Callable[[StepCase], bool]]]:
    for decision in ("caller", "conclusion", "give up"):
        yield f"right: {decision}", lambda case, decision=decision: case.reference.decision == decision  # type: ignore[misc]
    for place in range(1, _LAST_PLACE):
        yield f"step {place}", lambda case, place=place: case.step == place  # type: ignore[misc]
    yield f"step {_LAST_PLACE} or later", lambda case: case.step >= _LAST_PLACE
    for low, high in zip(_TOOLS, (*_TOOLS[1:], None), strict=True):
        title = f"{low} tools or more" if high is None else f"{low} to {high - 1} tools"
        yield title, lambda case, low=low, high=high: low <= len(case.tools) < (high or len(case.tools) + 1)  # type: ignore[misc]
