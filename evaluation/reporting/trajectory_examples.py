"""The trajectories behind the numbers of a run over whole trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.judge.verdicts import VerdictRecord
from evaluation.metrics import Metric
from evaluation.metrics.trajectory import Measured, columns, trajectory_metric
from evaluation.page.blocks import Block, Cell, Listing, Paragraph, Section
from evaluation.quantities import pluralize
from evaluation.reporting.examples import EXAMPLES_PER_CELL, Chosen, Group, choose
from evaluation.reporting.inputs import PART, TrajectoriesRun, part_of
from evaluation.reporting.trajectory_view import end_of, trajectory_anchor, trajectory_fold


@dataclass(frozen=True)
class TrajectoryExamples:
    """A run, and which of its trajectories are shown."""

    run: TrajectoriesRun
    groups: tuple[Group, ...]
    chosen: Chosen


def trajectory_examples(run: TrajectoriesRun, each: int = EXAMPLES_PER_CELL) -> TrajectoryExamples:
    """Choose `each` examples for every number of the run."""
    groups = (*_end_groups(run), *_figure_groups(run), *_verdict_groups(run))
    return TrajectoryExamples(run, groups, choose(groups, each))


def trajectory_examples_section(behind: TrajectoryExamples) -> Section:
    """The lists that numbers lead to, and the trajectories that the lists lead to."""
    run = behind.run
    shown = f"{len(behind.chosen.places):,} of {pluralize(len(run.run.records), 'trajectory')}"
    opened = [trajectory_fold(run, place) for place in behind.chosen.places]
    return Section(
        f"Trajectories of {run.named.title}",
        [
            Paragraph(f"Shown here: {shown}; {run.named.path.name} has the others."),
            *_lists(behind),
            Section(f"The trajectories of {run.named.key}, opened one by one", opened),
        ],
        run.named.anchor("trajectories"),
        detail=True,
    )


def end_anchor(run: TrajectoriesRun, end: str) -> str:
    """Where trajectories that ended so are listed."""
    return run.named.anchor("end", end.replace(":", ""))


def figure_anchor(run: TrajectoriesRun, name: str) -> str:
    """Where the trajectories of a figure are listed."""
    return run.named.anchor("figure", name)


def verdict_anchor(run: TrajectoriesRun, number: int, *parts: str) -> str:
    """Where trajectories are listed of which a judge (by its number) said something; without it all that it judged."""
    return run.named.anchor("verdict", number, *parts)


def _lists(behind: TrajectoryExamples) -> Iterator[Block]:
    for group in behind.groups:
        if places := behind.chosen.by_group[group.anchor]:
            links = [_link(behind.run, place) for place in places]
            yield Section(f"{group.title}: {len(places):,} of {len(group.places):,}", [Listing(links)], group.anchor)


def _link(run: TrajectoriesRun, place: int) -> Cell:
    record = run.run.records[place]
    return Cell(f"{record.recorded} ({end_of(record)})", trajectory_anchor(run, place))


def _end_groups(run: TrajectoriesRun) -> Iterator[Group]:
    for end in run.report.ends:
        places = [place for place, record in enumerate(run.run.records) if end_of(record) == end]
        yield Group(end_anchor(run, end), f"{run.named.key}, ended as {end}", places)


def _verdict_groups(run: TrajectoriesRun) -> Iterator[Group]:
    for number, judged in enumerate(run.verdicts, start=1):
        verdicts = [judged.on(record.recorded) for record in run.run.records]
        title = f"{run.named.key}, judged ({judged.title})"
        yield Group(verdict_anchor(run, number), title, [place for place, each in enumerate(verdicts) if each])
        for part in judged.figures_by_part:
            places = [
                place
                for place, record in enumerate(run.run.records)
                if verdicts[place] and part_of(record.recorded) == part
            ]
            yield Group(verdict_anchor(run, number, PART, part), f"{title}, {part}", places)
        for basis in judged.report.verdicts:
            places = [place for place, each in enumerate(verdicts) if any(verdict.basis == basis for verdict in each)]
            yield Group(verdict_anchor(run, number, "basis", basis), f"{title}, how it came about: {basis}", places)
        for label, counts in judged.report.labels.items():
            for value in counts:
                places = [place for place, each in enumerate(verdicts) if _has_label(each, label, value)]
                yield Group(verdict_anchor(run, number, label, value), f"{title}, {label}: {value}", places)


def _has_label(verdicts: Sequence[VerdictRecord], label: str, value: str) -> bool:
    return any(verdict.labels.get(label) == value for verdict in verdicts)


def _figure_groups(run: TrajectoriesRun) -> Iterator[Group]:
    values = columns(run.measured)
    for name in run.report.figures:
        metric = trajectory_metric(name)
        title = f"{run.named.key}, {metric.title}, the worst first"
        yield Group(figure_anchor(run, name), title, _worst_first(values[name], metric))


def _worst_first(values: Sequence[float | None], metric: Metric[Measured]) -> list[int]:
    known = {place: value for place, value in enumerate(values) if value is not None}
    return sorted(known, key=lambda place: known[place], reverse=metric.better == "lower")
