"""The trajectories behind the numbers of a trajectory run, each with its steps, prompts, calls and observations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.plain_text import beginning
from alpha_umi.quantities import pluralize
from evaluation.files.trajectory_run import TrajectoryRecord
from evaluation.judge.verdicts import VerdictRecord
from evaluation.metrics import Metric
from evaluation.metrics.trajectory import Measured, columns, trajectory_metric
from evaluation.page.blocks import Block, Cell, Fold, Listing, Paragraph, Section, verbatim
from evaluation.reporting.examples import EXAMPLES_PER_CELL, Chosen, Group, choose
from evaluation.reporting.inputs import PART, TrajectoriesRun, part_of
from evaluation.reporting.trajectory_prompts import prompt_folds


@dataclass(frozen=True)
class TrajectoryExamples:
    """A run, and the chosen examples of its trajectories."""

    run: TrajectoriesRun
    groups: tuple[Group, ...]
    chosen: Chosen


def trajectory_examples(run: TrajectoriesRun, each: int = EXAMPLES_PER_CELL) -> TrajectoryExamples:
    """Choose `each` examples for every figure of the run."""
    groups = (*_end_groups(run), *_figure_groups(run), *_verdict_groups(run))
    return TrajectoryExamples(run, groups, choose(groups, each))


def trajectory_examples_section(behind: TrajectoryExamples) -> Section:
    """The lists to which figures link, and the trajectories to which the lists link."""
    run = behind.run
    shown = f"{len(behind.chosen.places):,} of {pluralize(len(run.run.records), 'trajectory')}"
    opened = [trajectory_fold(run, place) for place in behind.chosen.places]
    return Section(
        f"Trajectories of {run.named.title}",
        [
            Paragraph(f"Shown here: {shown}; {run.named.path.name} has the others."),
            *_lists(behind),
            Section(f"The trajectories of {run.named.key}, folded", opened),
        ],
        run.named.anchor("trajectories"),
        detail=True,
    )


def end_anchor(run: TrajectoriesRun, end: str) -> str:
    """The anchor of the trajectories with this ending."""
    return run.named.anchor("end", end.replace(":", ""))


def figure_anchor(run: TrajectoriesRun, name: str) -> str:
    """The anchor of a figure's list of trajectories."""
    return run.named.anchor("figure", name)


def verdict_anchor(run: TrajectoriesRun, number: int, *parts: str) -> str:
    """The anchor of the trajectories with a label of a judge (by its number); by default of all judged ones."""
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
            yield Group(verdict_anchor(run, number, "basis", basis), f"{title}, basis: {basis}", places)
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


SUMMARY_CHARACTERS = 90


def trajectory_fold(run: TrajectoriesRun, place: int) -> Fold:
    """The trajectory at an index of the run, folded."""
    record = run.run.records[place]
    trajectory = record.trajectory
    question = beginning(trajectory.instruction, SUMMARY_CHARACTERS)
    prompts = prompt_folds(run.run, record)
    blocks: list[Block] = [
        verbatim("The question", trajectory.instruction),
        Paragraph(f"Offered tools: {beginning(', '.join(trajectory.tools), 2_000) or 'none'}."),
        *prompts.notes,
        *(_step(step, trajectory, prompts.of_step(step.index)) for step in trajectory.steps),
        *prompts.after(len(trajectory.steps)),
        *_end(run, place, record),
        *(block for judged in run.verdicts for block in judged.blocks(record.recorded)),
    ]
    return Fold(
        f"{run.named.key} · {record.recorded} · {end_of(record)}: {question}", blocks, trajectory_anchor(run, place)
    )


def trajectory_anchor(run: TrajectoriesRun, place: int) -> str:
    """The anchor of a trajectory."""
    return run.named.anchor("trajectory", place + 1)


def end_of(record: TrajectoryRecord) -> str:
    """The ending of a trajectory: its status, with the reason if there is one."""
    error = record.trajectory.error
    return record.trajectory.status + (f": {error.code}" if error else "")


def _step(step: StepModel, trajectory: Trajectory, prompts: Sequence[Block]) -> Section:
    blocks: list[Block] = [Paragraph(_shown(step, trajectory)), *prompts, verbatim("thought", step.thought)]
    if step.action is not None:
        arguments = json.dumps(step.action.arguments, ensure_ascii=False)
        blocks.append(verbatim(f"call of {step.action.name}", arguments))
    if step.observation is not None:
        kind = "observation, an error" if step.observation.is_error else "observation"
        blocks.append(verbatim(kind + (", cut" if step.observation.truncated else ""), step.observation.content))
    return Section(f"Step {step.index + 1}: {step.next}{_branch(step)}; {_cost(step)}", blocks)


def _shown(step: StepModel, trajectory: Trajectory) -> str:
    """A sentence on the history of this step's prompts, by the numbers of the steps whose texts it contains."""
    before = _before(step, trajectory)
    parts = ["the question", *_named("what is in", before)]
    if trajectory.strategy == "dfsdt":
        tried = [each.index for each in trajectory.steps[: step.index] if each.parent == step.parent]
        parts += _named("for the planner, as tried here before,", tried)
    cut = "; for one role at least it was shortened to fit" if step.truncated else ""
    return f"Shown before it: {', and '.join(parts)}{cut}."


def _before(step: StepModel, trajectory: Trajectory) -> list[int]:
    """The predecessors of a step: those of its branch in a search, else all earlier steps."""
    if trajectory.strategy != "dfsdt":
        return list(range(step.index))
    indices, at = [], step.parent
    while at is not None and at < len(trajectory.steps) and at not in indices:
        indices.append(at)
        at = trajectory.steps[at].parent
    return indices[::-1]


def _named(words: str, steps: Sequence[int]) -> list[str]:
    numbers = ", ".join(str(index + 1) for index in steps)
    return [f"{words} step{'s' * (len(steps) > 1)} {numbers}"] if steps else []


def _branch(step: StepModel) -> str:
    """A step's branch in a search: its parent if that is not the previous step, and whether it was abandoned."""
    came = "" if step.parent is None or step.parent == step.index - 1 else f", continues step {step.parent + 1}"
    return came + (", abandoned" if step.abandoned else "")


def _cost(step: StepModel) -> str:
    spent = sum(step.latency_ms.model_dump().values())
    return f"{step.usage.prompt_tokens:,} + {step.usage.completion_tokens:,} tokens, {spent:,} ms"


def _end(run: TrajectoriesRun, place: int, record: TrajectoryRecord) -> Iterator[Block]:
    trajectory = record.trajectory
    yield verbatim("The answer", trajectory.answer if trajectory.answer is not None else "(none)")
    if record.expected is not None:
        yield verbatim(
            f"The expected answer (which it {'is' if run.measured[place].right else 'is not'})", record.expected
        )
    if trajectory.error is not None:
        yield Paragraph(f"It ended because of {trajectory.error.code}: {beginning(trajectory.error.detail, 2_000)}")
