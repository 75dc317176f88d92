"""The complete report: its sections in order, from runs, trainings and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from alpha_umi.quantities import pluralize
from evaluation.page.blocks import Block, Paragraph, Row, Section, Table, Verbatim
from evaluation.reporting.examples import EXAMPLES_PER_CELL
from evaluation.reporting.inputs import AnyRun, BootstrapOptions, StepsRun, TrajectoriesRun
from evaluation.reporting.paper import paper_section
from evaluation.reporting.step_examples import StepExamples, step_examples, step_examples_section
from evaluation.reporting.steps import steps_section
from evaluation.reporting.training import Training, scaling_section, training_section
from evaluation.reporting.trajectories import trajectories_section
from evaluation.reporting.trajectory_examples import (
    TrajectoryExamples,
    trajectory_examples,
    trajectory_examples_section,
)
from evaluation.reporting.verdicts import verdicts_section

Of = TypeVar("Of")


@dataclass(frozen=True)
class Report:
    """The content of a report: runs, trainings, bootstrap options, and the number of examples for each figure.

    With 0 examples the report has figures only: no texts of suites or models.
    """

    runs: Sequence[AnyRun]
    trainings: Sequence[Training]
    bootstrap: BootstrapOptions
    examples: int = EXAMPLES_PER_CELL


def report_sections(report: Report) -> list[Section]:
    """The sections of the report. Raises `EvaluationError`."""
    steps = [step_examples(run, report.examples) for run in report.runs if isinstance(run, StepsRun)]
    trajectories = [
        trajectory_examples(run, report.examples) for run in report.runs if isinstance(run, TrajectoriesRun)
    ]
    figures = [
        _given(report),
        paper_section([each.run for each in steps], [each.run for each in trajectories]),
        *_steps(steps, report.bootstrap),
        *_trajectories(trajectories, report.bootstrap),
        verdicts_section([each.run for each in trajectories]),
        scaling_section([each.run for each in steps], report.trainings),
        training_section(report.trainings),
    ]
    if not report.examples:
        return [section.unlinked() for section in figures]
    return [*figures, *map(step_examples_section, steps), *map(trajectory_examples_section, trajectories)]


def _given(report: Report) -> Section:
    rows: list[Row] = [[run.named.title, *_about(run)] for run in report.runs]
    commands = "\n".join(line for run in report.runs for line in (f"# {run.named.title}", *run.commands))
    behind = "Figures link to their steps" if report.examples else "Texts of suites and models are omitted"
    blocks: list[Block] = [
        Paragraph(
            "Everything is computed from run files, without any model. Runs over other cases are in "
            f"sections of their own and are never compared. {behind}."
        ),
        Table("The runs", ["run", "suite", "what", "models"], rows, (0, 1, 2, 3)),
        Verbatim("The commands that make each file (while its models are served) and print its figures", commands),
    ]
    return Section("What was measured", blocks, "runs")


def _about(run: AnyRun) -> Iterator[str]:
    about = run.run.about
    yield about.suite
    what = (run.report.steps, "step") if isinstance(run, StepsRun) else (run.report.trajectories, "whole trajectory")
    yield f"{pluralize(*what)}, {run.mode}"
    names = {role: str(model.get("id") or model.get("name") or "unnamed") for role, model in about.models.items()}
    yield "; ".join(f"{role}: {name}" for role, name in names.items()) or "not known"


def _steps(runs: Sequence[StepExamples], bootstrap: BootstrapOptions) -> Iterator[Section]:
    groups = _grouped((each.run.run.about.suite, each.run.cases_digest, each) for each in runs)
    for number, (title, group) in enumerate(_titled(groups, "steps"), start=1):
        yield steps_section(title, f"steps-{number}", group, bootstrap)


def _trajectories(runs: Sequence[TrajectoryExamples], bootstrap: BootstrapOptions) -> Iterator[Section]:
    groups = _grouped((each.run.run.about.suite, each.run.questions_digest, each) for each in runs)
    for number, (title, group) in enumerate(_titled(groups, "whole trajectories"), start=1):
        yield trajectories_section(title, f"trajectories-{number}", group, bootstrap)


def _grouped(runs: Iterable[tuple[str, str, Of]]) -> dict[tuple[str, str], list[Of]]:
    """Group runs by suite and cases: only runs of one group are compared."""
    groups: dict[tuple[str, str], list[Of]] = {}
    for suite, digest, run in runs:
        groups.setdefault((suite, digest), []).append(run)
    return groups


def _titled(groups: dict[tuple[str, str], list[Of]], what: str) -> Iterator[tuple[str, list[Of]]]:
    """Title each group: the suite's name, with a number if the suite has several groups."""
    suites = [suite for suite, _ in groups]
    for place, ((suite, _), group) in enumerate(groups.items()):
        part = f", cases {suites[: place + 1].count(suite)} of {suites.count(suite)}" if suites.count(suite) > 1 else ""
        yield f"{suite}, {what}{part}", group
