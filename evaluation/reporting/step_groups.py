"""Paired differences of two runs by groups of steps (reference decision, step number, number of offered tools).

Verdicts are corrected by Holm's procedure over all figures of all groups, as one family of tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.compare import compare
from evaluation.files.published import Pair
from evaluation.metrics import METRICS
from evaluation.page.blocks import Cell, Row, Table
from evaluation.reporting.format import NO_FIGURE, interval_text, number
from evaluation.reporting.inputs import BootstrapOptions
from evaluation.statistics.gate import Gate, apply_gate
from evaluation.statistics.paired import Difference, Verdict
from recordings.cases import StepCase

GROUPED: Final = ("decision_accuracy", "action_em", "call_match", "rouge")
_TITLES: Final = {metric.name: metric.title for metric in METRICS}
# Lower bounds of the groups by number of tools.
_TOOLS: Final = (1, 3, 6, 11)
_LAST_STEP: Final = 4


@dataclass(frozen=True)
class Group:
    """Steps with a common property, and the difference of each metric in `GROUPED`."""

    title: str
    steps: int
    trajectories: int
    differences: tuple[Difference, ...]


def groups_table(
    caption: str,
    first: Sequence[Pair],
    second: Sequence[Pair],
    drawing: BootstrapOptions,
    anchor: Callable[[str], str | None] = lambda metric: None,
) -> Table:
    """A row per group; `anchor` gives the link of a metric's cells. Raises `CasesDiffer`."""
    groups = by_group(first, second, drawing)
    verdicts = {id(figure.item): figure.verdict for figure in holm(groups).figures}
    rows: list[Row] = [
        [
            group.title,
            f"{group.steps:,} of {group.trajectories:,}",
            *(_cell(item, verdicts[id(item)], anchor) for item in group.differences),
        ]
        for group in groups
    ]
    return Table(caption, ["steps", "n, of trajectories", *(_TITLES[name] for name in GROUPED)], rows, (0, 1))


def by_group(first: Sequence[Pair], second: Sequence[Pair], drawing: BootstrapOptions) -> list[Group]:
    """The groups that are not empty, all steps first. Raises `CasesDiffer`."""
    groups = [_group("all steps", first, second, drawing)]
    by_id = {pair.case.id: pair for pair in second}
    for title, contains in _conditions():
        chosen = [pair for pair in first if contains(pair.case)]
        if chosen:
            groups.append(_group(title, chosen, [by_id[pair.case.id] for pair in chosen], drawing))
    return groups


def holm(groups: Sequence[Group]) -> Gate:
    """Holm-corrected verdicts over all groups, treated as one family of tests."""
    return apply_gate([item for group in groups for item in group.differences])


def _cell(item: Difference, verdict: Verdict, anchor: Callable[[str], str | None]) -> Cell:
    if item.difference is None:
        return Cell(NO_FIGURE)
    interval = "(no interval)" if item.interval is None else interval_text(item.interval, signed=True)
    return Cell(f"{number(item.difference, signed=True)} {interval} {verdict}", anchor(item.metric.name))


def _group(title: str, first: Sequence[Pair], second: Sequence[Pair], drawing: BootstrapOptions) -> Group:
    comparison = compare(first, second, resamples=drawing.resamples, seed=drawing.seed)
    by_name = {item.metric.name: item for item in comparison.differences}
    return Group(title, len(first), comparison.trajectories, tuple(by_name[name] for name in GROUPED))


def _conditions() -> Iterator[tuple[str, Callable[[StepCase], bool]]]:
    for decision in ("caller", "conclusion", "give up"):
        yield f"reference: {decision}", lambda case, decision=decision: case.reference.decision == decision  # type: ignore[misc]
    for place in range(1, _LAST_STEP):
        yield f"step {place}", lambda case, place=place: case.step == place  # type: ignore[misc]
    yield f"step {_LAST_STEP} or later", lambda case: case.step >= _LAST_STEP
    for low, high in zip(_TOOLS, (*_TOOLS[1:], None), strict=True):
        title = f"{low} tools or more" if high is None else f"{low} to {high - 1} tools"
        yield title, lambda case, low=low, high=high: low <= len(case.tools) < (high or len(case.tools) + 1)  # type: ignore[misc]
