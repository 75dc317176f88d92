"""Trajectories as an orchestrator shows them, and files of them, for tests that ask no orchestrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from alpha_umi.contract.trajectories import (
    RoleUse,
    StepAction,
    StepLatency,
    StepModel,
    StepObservation,
    TokenUsage,
    Trajectory,
    TrajectoryError,
)
from alpha_umi.roles.planner import Decision
from alpha_umi.trajectory import Status
from evaluation.whole_run import AskedRecord, WholeRun, WholeRunRecord

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
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
            "planner": RoleUse(attempts=attempts, prompt_tokens=60, completion_tokens=6, unreadable=unreadable),
            "caller": RoleUse(attempts=1, prompt_tokens=40, completion_tokens=4),
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


def whole_run(right: Sequence[bool | None], **about: Any) -> WholeRun:
    """A file of questions that were answered rightly, wrongly, or not asked yet (None)."""
    asked = tuple(
        AskedRecord(
            recorded=f"q{number}",
            expected="3",
            trajectory=trajectory(f"traj_{number}", answer="3" if is_right else "4", instruction=f"Question {number}?"),
            events=[],
        )
        for number, is_right in enumerate(right)
        if is_right is not None
    )
    return WholeRun(WholeRunRecord(suite="shop", trajectories=len(right), **about), asked)


def written(run: WholeRun) -> str:
    """The text of its file."""
    return "".join(record.model_dump_json() + "\n" for record in (run.about, *run.tools.values(), *run.asked))
