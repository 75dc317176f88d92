"""The figures of each role in one trajectory."""

from __future__ import annotations

import pytest
from support.synthetic_trajectories import step, trajectory

from alpha_umi.contract.trajectories import StepObservation, Trajectory, TrajectoryError
from alpha_umi.trajectory import Status
from evaluation.drift.figures import figures


def counted(each: Trajectory) -> dict[str, tuple[float, float]]:
    return {figure.name: figure.of(each) for figure in figures()}


def without_call(content: str) -> Trajectory:
    """A caller that wrote no call, and why."""
    seen = StepObservation(content=content, is_error=True, truncated=False)
    return trajectory(steps=[step(0).model_copy(update={"action": None, "observation": seen}), step(1, "conclusion")])


@pytest.mark.parametrize(
    ("status", "name", "counts"),
    [
        ("gave_up", "planner.gave_up", (1, 1)),
        ("completed", "planner.gave_up", (0, 1)),
        ("exhausted", "planner.exhausted", (1, 1)),
        # Nobody knows how it would have ended.
        ("cancelled", "planner.gave_up", (0, 0)),
    ],
)
def test_how_it_ended(status: Status, name: str, counts: tuple[int, int]) -> None:
    assert counted(trajectory(status=status))[name] == counts


def test_a_role_that_gave_no_answer() -> None:
    matches = counted(trajectory(status="failed", error=TrajectoryError(code="caller_failed", detail="it is away")))
    assert (matches["caller.failed"], matches["planner.failed"], matches["backbone.failed"]) == ((1, 1), (0, 1), (0, 0))


def test_calls() -> None:
    steps = [step(0), step(1, arguments={"item": 0}), step(2, is_error=True), step(3, "conclusion")]
    matches = counted(trajectory(steps=steps))
    assert matches["planner.repeated_calls"] == (1, 3)
    assert matches["caller.tool_errors"] == (1, 3)
    assert matches["caller.unusable_calls"] == (0, 3)
    cut = [each.model_copy(update={"call_unfinished": True}) for each in steps[:2]]
    assert counted(trajectory(steps=[*cut, *steps[2:]]))["caller.unfinished_calls"] == (2, 3)
    assert matches["caller.latency_ms"] == (200, 4)


def test_a_call_of_an_unknown_tool_is_one_that_cannot_be_used() -> None:
    matches = counted(without_call("No call was made: there is no tool 'magic'; offered are price"))
    assert (matches["caller.unknown_tools"], matches["caller.unusable_calls"]) == ((1, 1), (1, 1))
    other = counted(without_call("No call was made: 'Action:' names no tool"))
    assert (other["caller.unknown_tools"], other["caller.unusable_calls"]) == ((0, 1), (1, 1))
    # What a tool says is not what the caller did.
    values = counted(trajectory(steps=[step(0, observation="there is no tool 'x'")]))
    assert values["caller.unknown_tools"] == (0, 1)


def test_repairs_and_unreadable_outputs() -> None:
    matches = counted(trajectory(steps=[step(0, attempts=2), step(1), step(2, "conclusion", unreadable=True)]))
    assert (matches["planner.repaired"], matches["planner.unreadable"]) == ((1, 3), (1, 3))
    assert (matches["planner.prompt_tokens"], matches["caller.completion_tokens"]) == ((180, 3), (12, 3))


def test_what_was_not_recorded_does_not_count() -> None:
    """Neither in an export of an earlier version, nor in the log of one."""
    earlier = step(0).model_copy(update={"roles": None})
    matches = counted(trajectory(steps=[earlier, step(1, attempts=0, unreadable=True)]))
    assert (matches["planner.repaired"], matches["planner.unreadable"]) == ((0, 0), (0, 0))


def test_the_single_model_is_a_role_of_its_own() -> None:
    matches = counted(trajectory(strategy="single", status="gave_up"))
    assert (matches["backbone.gave_up"], matches["planner.gave_up"], matches["backbone.tool_errors"]) == (
        (1, 1),
        (0, 0),
        (0, 1),
    )
