"""Trajectories as an orchestrator shows them, and files of them, for tests that ask no orchestrator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from alpha_umi.contract.trajectories import (
    RoleUsage,
    StepAction,
    StepLatency,
    StepModel,
    StepObservation,
    TokenUsage,
    Trajectory,
    TrajectoryError,
)
from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.trajectory import (
    AnswerWritten,
    Backtrack,
    Backtracked,
    CallMade,
    Cancelled,
    Event,
    Finish,
    LimitReached,
    Limits,
    PlannerDecided,
    RoleFailed,
    Status,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
    Usage,
    effect_of,
    replay,
)
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRun, TrajectoryRunRecord

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
ENDLESS = Limits(max_steps=1_000, max_repeats=1_000)
LATENCY = StepLatency(planner=100, caller=50, tool=20, summarizer=0)


def step(
    index: int = 0,
    next: Decision = "caller",
    *,
    tool: str = "price",
    arguments: Mapping[str, Any] | None = None,
    observation: str | None = "3 EUR",
    is_error: bool = False,
    latency: StepLatency = LATENCY,
    attempts: int = 1,
    unreadable: bool = False,
) -> StepModel:
    """A step; by default a call that the tool answered."""
    called = next == "caller"
    made = StepAction(
        call_id=f"call_{index}", name=tool, arguments=dict({"item": index} if arguments is None else arguments)
    )
    seen = StepObservation(content=observation or "", is_error=is_error, truncated=False)
    return StepModel(
        index=index,
        thought="Let me see.",
        next=next,
        action=made if called else None,
        observation=seen if called and observation is not None else None,
        latency_ms=latency,
        usage=TokenUsage(prompt_tokens=100, completion_tokens=10),
        truncated=False,
        roles={
            "planner": RoleUsage(attempts=attempts, prompt_tokens=60, completion_tokens=6, unreadable=unreadable),
            "caller": RoleUsage(attempts=1, prompt_tokens=40, completion_tokens=4),
        },
    )


def trajectory(
    name: str = "traj_1",
    *,
    status: Status = "completed",
    steps: Sequence[StepModel] | None = None,
    answer: str | None = "3",
    error: TrajectoryError | None = None,
    strategy: Literal["chain", "single"] = "chain",
    instruction: str = "What does it cost?",
    after: timedelta = timedelta(),
    took: timedelta | None = timedelta(seconds=2),
) -> Trajectory:
    """A trajectory that began `after` a fixed moment."""
    made = [step(0), step(1, "conclusion")] if steps is None else list(steps)
    tokens = TokenUsage(prompt_tokens=100 * len(made), completion_tokens=10 * len(made))
    return Trajectory(
        id=name,
        status=status,
        instruction=instruction,
        tools=["price"],
        strategy=strategy,
        steps=made,
        messages=[],
        answer=answer,
        error=error,
        usage=tokens,
        metadata={},
        created_at=BEGAN + after,
        finished_at=None if took is None else BEGAN + after + took,
    )


def events_of(trajectory: Trajectory, *, strategy: str | None = None, limits: Limits = ENDLESS) -> list[Event]:
    """Events that lead to a trajectory of one turn, as far as a machine can have it; its end may have other words."""
    strategy = strategy or trajectory.strategy
    made: list[Event] = [TrajectoryCreated(trajectory.instruction, tuple(trajectory.tools), limits, strategy)]
    for step in trajectory.steps:
        made += _step_events(step, trajectory, strategy)
        while isinstance(effect := effect_of(replay(made)), Backtrack):
            made.append(Backtracked(effect.to, effect.reason))
    error = trajectory.error.detail if trajectory.error else ""
    answered: list[Event] = [] if trajectory.answer is None else [AnswerWritten(trajectory.answer)]
    match trajectory.status:
        case "failed":
            made.append(RoleFailed("planner", error))
        case "cancelled":
            made.append(Cancelled(error))
        case "exhausted":
            made.append(LimitReached("deadline"))
            if effect_of(replay(made)) != Finish("exhausted"):
                made += answered or [LimitReached("deadline")]
        case "completed" if strategy != "single":
            made += answered
        case _:
            pass
    return [*made, TrajectoryFinished()]


def _step_events(step: StepModel, trajectory: Trajectory, strategy: str) -> Iterator[Event]:
    costs = {role: _output(step, role) for role in ("planner", "caller", "backbone")}
    if strategy == "single":
        action = step.action
        yield StepTaken(
            step.thought,
            step.next,
            call_id=None if action is None else action.call_id,
            name=None if action is None else action.name,
            arguments=None if action is None else action.arguments,
            answer=trajectory.answer if step.next == "conclusion" else None,
            **costs["backbone"],
        )
    else:
        yield PlannerDecided(step.thought, step.next, write_plan(step.thought, step.next), **costs["planner"])
        if step.action is not None:
            action = step.action
            yield CallMade(action.call_id, action.name, action.arguments, "", **costs["caller"])
    if step.observation is not None:
        seen, call_id = step.observation, None if step.action is None else step.action.call_id
        latency = step.latency_ms.tool
        yield ToolObserved(call_id, seen.content, seen.is_error, seen.truncated, latency_ms=latency)


def _output(step: StepModel, role: Any) -> dict[str, Any]:
    use = (step.roles or {}).get(role)
    if use is None:
        usage = step.usage if not step.roles and role == "planner" else TokenUsage(prompt_tokens=0, completion_tokens=0)
        use = RoleUsage(attempts=0, **usage.model_dump())
    return {
        "usage": Usage(use.prompt_tokens, use.completion_tokens),
        "attempts": use.attempts,
        "latency_ms": getattr(step.latency_ms, role),
        "truncated": step.truncated and role != "caller",
    }


def record_of(
    trajectory: Trajectory,
    *,
    recorded: str,
    expected: str | None = None,
    strategy: str | None = None,
    limits: Limits = ENDLESS,
) -> TrajectoryRecord:
    """The line of a trajectory in a file."""
    return TrajectoryRecord(
        recorded=recorded,
        expected=expected,
        id=trajectory.id,
        created_at=trajectory.created_at,
        finished_at=trajectory.finished_at,
        events=tuple(events_of(trajectory, strategy=strategy, limits=limits)),
    )


def trajectory_run(right: Sequence[bool | None], *, limits: Limits = ENDLESS, **about: Any) -> TrajectoryRun:
    """A file of questions that were answered rightly, wrongly, or not asked yet (None)."""
    records = tuple(
        record_of(
            trajectory(f"traj_{number}", answer="3" if is_right else "4", instruction=f"Question {number}?"),
            recorded=f"q{number}",
            expected="3",
            strategy=about.get("strategy", "chain"),
            limits=limits,
        )
        for number, is_right in enumerate(right)
        if is_right is not None
    )
    return TrajectoryRun(TrajectoryRunRecord(suite="shop", trajectories=len(right), **about), records)


def written(run: TrajectoryRun) -> str:
    """The text of its file."""
    return "".join(record.model_dump_json() + "\n" for record in (run.about, *run.tools.values(), *run.records))
