"""The steps behind the numbers of a run: for each number some, which open to all that a run keeps of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from alpha_umi.roles.turns import RoleName
from evaluation.files.step_run import PredictionRecord
from evaluation.metrics import METRICS, Metric
from evaluation.metrics.decision_confusion import predicted_column
from evaluation.page.blocks import Block, Cell, Listing, Paragraph, Section
from evaluation.reporting.error_classes import CLASSES, ErrorClass, error_class
from evaluation.reporting.examples import EACH, Chosen, Group, choose
from evaluation.reporting.given import StepsRun
from evaluation.reporting.step_view import step_anchor, step_fold, step_link

# What a row of the confusion matrix sums up to.
IN_ALL: Final = "in all"


@dataclass(frozen=True)
class StepsBehind:
    """A run, the class of each of its steps, and which of them are shown."""

    run: StepsRun
    classes: tuple[ErrorClass, ...]
    groups: tuple[Group, ...]
    chosen: Chosen


def steps_behind(run: StepsRun, each: int = EACH) -> StepsBehind:
    """Choose `each` examples for every number of the run. Raises `NotTheFormat` for a tool whose schema is none."""
    classes = tuple(error_class(pair, run.predictions.get(pair.case.id)) for pair in run.pairs)
    groups = (*_class_groups(run, classes), *_decision_groups(run), *_metric_groups(run), *_role_groups(run))
    return StepsBehind(run, classes, groups, choose(groups, each))


def behind_section(behind: StepsBehind) -> Section:
    """The lists that numbers lead to, and the steps that the lists lead to."""
    run = behind.run
    shown = len(behind.chosen.places)
    told = f"{shown:,} of {len(run.pairs):,} steps are shown; {run.named.path.name} has the others."
    steps = [step_fold(run, place, behind.classes[place]) for place in behind.chosen.places]
    return Section(
        f"Steps of {run.named.title}",
        [
            Paragraph(told),
            *_lists(behind),
            Section(f"The steps of {run.named.key}, opened one by one", steps),
        ],
        run.named.anchor("steps"),
        detail=True,
    )


def metric_anchor(run: StepsRun, name: str) -> str:
    """Where the steps of a metric are listed."""
    return run.named.anchor("metric", name)


def decision_anchor(run: StepsRun, right: str, predicted: str) -> str:
    """Where the steps of a cell of the confusion matrix are listed."""
    return run.named.anchor("decision", right, predicted)


def class_anchor(run: StepsRun, name: str) -> str:
    """Where the steps of a class are listed."""
    return run.named.anchor("class", name)


def role_anchor(run: StepsRun, role: str) -> str:
    """Where the steps of a role are listed."""
    return run.named.anchor("role", role)


def _lists(behind: StepsBehind) -> Iterator[Block]:
    for group in behind.groups:
        places = behind.chosen.by_group[group.anchor]
        if not places:
            continue
        links = [_link(behind, place) for place in places]
        title = f"{group.title}: {len(places):,} of {len(group.places):,}"
        yield Section(title, [Listing(links)], group.anchor)


def _link(behind: StepsBehind, place: int) -> Cell:
    return Cell(step_link(behind.run, place, behind.classes[place]), step_anchor(behind.run, place))


def _class_groups(run: StepsRun, classes: Sequence[ErrorClass]) -> Iterator[Group]:
    for name in CLASSES:
        places = [place for place, found in enumerate(classes) if found == name]
        yield Group(class_anchor(run, name), f"{run.named.key}, {name}", places)


def _decision_groups(run: StepsRun) -> Iterator[Group]:
    cells = [(pair.case.reference.decision, predicted_column(pair)) for pair in run.pairs]
    for right, counts in run.report.decisions.items():
        for predicted in counts:
            places = [place for place, cell in enumerate(cells) if cell == (right, predicted)]
            title = f"{run.named.key}, {right} is right and {predicted} was predicted"
            yield Group(decision_anchor(run, right, predicted), title, places)
        places = [place for place, cell in enumerate(cells) if cell[0] == right]
        yield Group(decision_anchor(run, right, IN_ALL), f"{run.named.key}, {right} is right", places)


def _role_groups(run: StepsRun) -> Iterator[Group]:
    """Where a role failed, and where it took longest."""
    for role in run.report.costs:
        told = [_spent(run.predictions.get(pair.case.id), role) for pair in run.pairs]
        spent = {place: value for place, value in enumerate(told) if value is not None}
        places = sorted(spent, key=lambda place: spent[place], reverse=True)
        yield Group(role_anchor(run, role), f"{run.named.key}, the {role}, failures and the slowest first", places)


def _metric_groups(run: StepsRun) -> Iterator[Group]:
    for metric in METRICS:
        title = f"{run.named.key}, {metric.title}, the worst first"
        yield Group(metric_anchor(run, metric.name), title, _worst_first(run, metric))


def _worst_first(run: StepsRun, metric: Metric) -> list[int]:
    values = {place: value for place, pair in enumerate(run.pairs) if (value := metric.of(pair)) is not None}
    return sorted(values, key=lambda place: values[place], reverse=metric.better == "lower")


def _spent(record: PredictionRecord | None, role: RoleName) -> float | None:
    """Milliseconds of a role; without end where it failed, None where it was not asked."""
    if record is None:
        return None
    if record.error is not None and record.error.role == role:
        return math.inf
    return next((output.total_ms for output in record.outputs if output.role == role), None)
