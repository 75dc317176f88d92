from __future__ import annotations

from typing import Any

import pytest

from alpha_umi.contract.trajectories import Trajectory
from evaluation.errors import EmptySuite
from evaluation.whole import Measured, ToldEvent, measure, summarize

USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


def step(index: int, name: str | None = None, content: str = "", *, is_error: bool = False, **arguments: Any) -> Any:
    action = None if name is None else {"call_id": str(index), "name": name, "arguments": arguments}
    observation = None if name is None else {"content": content, "is_error": is_error, "truncated": False}
    return {
        "index": index,
        "thought": "t",
        "next": "conclusion" if name is None else "caller",
        "action": action,
        "observation": observation,
        "latency_ms": {"planner": 5, "caller": 4, "tool": 3, "summarizer": 0 if name else 2},
        "usage": USAGE,
        "truncated": False,
    }


def trajectory(*steps: Any, status: str = "completed", answer: str | None = "42") -> Trajectory:
    return Trajectory.model_validate(
        {
            "id": "t",
            "status": status,
            "instruction": "i",
            "tools": ["a"],
            "strategy": "chain",
            "steps": list(steps),
            "messages": [],
            "answer": answer,
            "error": None,
            "usage": {"prompt_tokens": 20, "completion_tokens": 10},
            "metadata": {},
            "created_at": "2026-01-01T00:00:00Z",
            "finished_at": None,
        },
        strict=False,
    )


def test_what_is_counted() -> None:
    unknown = 'HTTP 404 from the tool: {"type":"urn:alpha-umi:problem:call-not-recorded","status":404}'
    found = measure(
        trajectory(
            step(0, "a", "x", n=1),
            step(1, "a", unknown, is_error=True, n=1.0),
            step(2, "a", "The tool did not answer", is_error=True),
            step(3),
        ),
        [ToldEvent("planner.decided", {"usage": USAGE}), ToldEvent("planner.delta", {"text": "x"})],
    )
    assert (found.steps, found.calls, found.repeated_calls) == (4, 3, 1)
    assert (found.tool_errors, found.not_recorded) == (2, 1)
    assert found.tool_latency_ms == 12
    assert found.roles["planner"].latency_ms == 20
    assert (found.roles["planner"].calls, found.roles["planner"].prompt_tokens) == (1, 10)
    assert "backbone" not in found.roles


@pytest.mark.parametrize(
    ("status", "answer", "expected", "success", "right"),
    [
        ("completed", "42", None, True, None),
        ("completed", " 42 ", "42", True, True),
        ("completed", "41", "42", False, False),
        ("exhausted", "42", "42", False, True),
        ("gave_up", None, "42", False, False),
        ("failed", None, None, False, None),
    ],
)
def test_success(status: str, answer: str | None, expected: str | None, success: bool, right: bool | None) -> None:
    found = measure(trajectory(step(0), status=status, answer=answer), expected=expected)
    assert (found.success, found.right, found.gave_up) == (success, right, status == "gave_up")


def test_averages_say_over_how_many() -> None:
    measured = [
        measure(trajectory(step(0)), expected="42"),
        measure(trajectory(step(0), step(1)), expected="1"),
        measure(trajectory(step(0), status="gave_up", answer=None)),
    ]
    figures = {figure.name: figure for figure in summarize(measured)}
    assert (figures["success"].value, figures["success"].n) == (pytest.approx(1 / 3), 3)
    assert (figures["right"].value, figures["right"].n) == (0.5, 2)
    assert figures["steps"].value == pytest.approx(4 / 3)
    assert (figures["backbone.calls"].value, figures["backbone.calls"].n) == (None, 0)
    spread = figures["steps"].interval
    assert spread is not None
    assert 1 <= spread.low <= 4 / 3 <= spread.high <= 2


def test_no_trajectory_is_an_error() -> None:
    nothing: list[Measured] = []
    with pytest.raises(EmptySuite, match="no trajectory"):
        summarize(nothing)
