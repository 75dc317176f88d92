"""One whole trajectory as its reader opens it: every step with its prompts, thought, call and observation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.plain_text import beginning
from evaluation.files.trajectory_run import TrajectoryRecord
from evaluation.page.blocks import Block, Fold, Paragraph, Section, verbatim
from evaluation.reporting.inputs import TrajectoriesRun
from evaluation.reporting.prompt_folds import prompt_folds

SUMMARY_CHARACTERS = 90


def trajectory_fold(run: TrajectoriesRun, place: int) -> Fold:
    """The trajectory at this place of the run, to be opened."""
    record = run.run.records[place]
    trajectory = record.trajectory
    question = beginning(trajectory.instruction, SUMMARY_CHARACTERS)
    prompts = prompt_folds(run.run, record)
    blocks: list[Block] = [
        verbatim("The question", trajectory.instruction),
        Paragraph(f"Tools on offer: {beginning(', '.join(trajectory.tools), 2_000) or 'none'}."),
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
    """Where the trajectory is found."""
    return run.named.anchor("trajectory", place + 1)


def end_of(record: TrajectoryRecord) -> str:
    """How it ended: its status, and the reason where there is one."""
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
    """The history that was given for this step, by the steps above whose texts it is."""
    before = _before(step, trajectory)
    parts = ["the question", *_named("what is in", before)]
    if trajectory.strategy == "dfsdt":
        tried = [each.index for each in trajectory.steps[: step.index] if each.parent == step.parent]
        parts += _named("for the planner, as tried here before,", tried)
    cut = "; for one role at least it was shortened to fit" if step.truncated else ""
    return f"Shown before it: {', and '.join(parts)}{cut}."


def _before(step: StepModel, trajectory: Trajectory) -> list[int]:
    """The steps that this one follows: those of its branch in a search, else all before it."""
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
    """Where a search went another way: the step that this one goes on from, and whether it was left."""
    came = "" if step.parent is None or step.parent == step.index - 1 else f", on from step {step.parent + 1}"
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
