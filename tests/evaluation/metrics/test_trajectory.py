from __future__ import annotations

from typing import Any

import pytest

from alpha_umi.contract.trajectories import Trajectory
from evaluation.metrics.trajectory import Measured, measure, summarize
from recordings.errors import EmptySuite

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
    matches = measure(
        trajectory(
            step(0, "a", "x", n=1) | {"roles": {"planner": USAGE | {"attempts": 1}}},
            step(1, "a", unknown, is_error=True, n=1.0),
            step(2, "a", "The tool did not answer", is_error=True),
            step(3),
        )
    )
    assert (matches.steps, matches.calls, matches.repeated_calls) == (4, 3, 1)
    assert (matches.tool_errors, matches.not_recorded) == (2, 1)
    assert matches.tool_latency_ms == 12
    assert matches.roles["planner"].latency_ms == 20
    assert (matches.roles["planner"].calls, matches.roles["planner"].prompt_tokens) == (1, 10)
    assert "backbone" not in matches.roles


@pytest.mark.parametrize(
    ("status", "answer", "expected", "success", "right"),
    [
        ("completed", "42", None, None, None),
        ("completed", " 42 ", "42", True, True),
        ("completed", "41", "42", False, False),
        ("exhausted", "42", "42", False, True),
        ("gave_up", None, "42", False, False),
        ("failed", None, None, None, None),
        ("failed", None, "42", False, False),
    ],
)
def test_success(
    status: str, answer: str | None, expected: str | None, success: bool | None, right: bool | None
) -> None:
    matches = measure(trajectory(step(0), status=status, answer=answer), expected=expected)
    assert (matches.success, matches.right, matches.gave_up) == (success, right, status == "gave_up")
    assert matches.completed == (status == "completed")


def test_averages_say_over_how_many() -> None:
    measured = [
        measure(trajectory(step(0)), expected="42"),
        measure(trajectory(step(0), step(1)), expected="1"),
        measure(trajectory(step(0), status="gave_up", answer=None)),
    ]
    figures = {figure.name: figure for figure in summarize(measured)}
    assert (figures["completed"].value, figures["completed"].n) == (pytest.approx(2 / 3), 3)
    assert (figures["success"].value, figures["success"].n) == (0.5, 2)
    assert (figures["right"].value, figures["right"].n) == (0.5, 2)
    assert figures["steps"].value == pytest.approx(4 / 3)
    assert (figures["backbone.calls"].value, figures["backbone.calls"].n) == (None, 0)
    spread = figures["steps"].interval
    assert spread is not None
    assert 1 <= spread.low <= 4 / 3 <= spread.high <= 2


def test_trajectories_that_did_not_run_are_no_success() -> None:
    measured = [measure(trajectory(step(0)), expected="42"), measure(trajectory(step(0), step(1)), expected="42")]
    figures = {figure.name: figure for figure in summarize(measured, 3)}
    for name in ("completed", "success", "right"):
        assert (figures[name].value, figures[name].n) == (0.4, 5)
        assert figures[name].interval is not None
    assert (figures["gave_up"].value, figures["gave_up"].n) == (0, 2)
    assert (figures["steps"].value, figures["steps"].n) == (1.5, 2)
    unjudged = {figure.name: figure for figure in summarize([measure(trajectory(step(0)))], 3)}
    assert (unjudged["completed"].value, unjudged["completed"].n) == (0.25, 4)
    assert (unjudged["success"].value, unjudged["success"].n) == (None, 0)


def test_only_a_share_that_never_varies_has_an_interval() -> None:
    figures = {figure.name: figure for figure in summarize([measure(trajectory(step(0)), expected="42")] * 4)}
    sure = figures["success"].interval
    assert sure is not None
    assert (sure.low, sure.high) == (pytest.approx(0.5101, abs=1e-4), 1)
    assert (figures["steps"].interval, figures["calls"].interval) == (None, None)


def test_the_seed_and_the_resamples_are_the_requested_ones() -> None:
    measured = [measure(trajectory(*[step(0)] * (1 + number * number))) for number in range(6)]
    assert summarize(measured, seed=1) == summarize(measured, seed=1) != summarize(measured, seed=2)
    assert summarize(measured, resamples=100) != summarize(measured, resamples=300)


def test_what_a_search_left_has_cost_something() -> None:
    steps = [
        step(0, "a", "x", n=1) | {"abandoned": True},
        step(1, "a", "x", n=2) | {"abandoned": True, "parent": 0},
        step(2, "a", "x", n=1),
        step(3) | {"parent": 2},
    ]
    walked = trajectory(*steps)
    matches = measure(walked.model_copy(update={"strategy": "dfsdt"}))
    assert (matches.steps, matches.calls, matches.repeated_calls) == (4, 3, 1)
    assert (matches.branches, matches.abandoned_steps, matches.abandoned_tokens) == (2, 2, 30)
    figures = {figure.name: figure for figure in summarize([matches, measure(walked)])}
    # A chain has no branches to count.
    assert (figures["branches"].value, figures["branches"].n) == (2.0, 1)
    assert figures["steps"].n == 2


def test_an_answer_after_the_last_branch_was_left_is_no_cost_of_that_branch() -> None:
    answered = {"summarizer": {"attempts": 1, "prompt_tokens": 3, "completion_tokens": 1}}
    left = step(0, "a", "x") | {"abandoned": True, "roles": answered}
    matches = measure(trajectory(left, status="exhausted").model_copy(update={"strategy": "dfsdt"}))
    assert (matches.abandoned_steps, matches.abandoned_tokens) == (1, 15 - 4)


def test_no_trajectory_is_an_error() -> None:
    nothing: list[Measured] = []
    with pytest.raises(EmptySuite, match="no trajectory"):
        summarize(nothing)


def test_a_call_that_could_not_be_made_costs_something() -> None:
    roles = {
        "planner": {"attempts": 1, "prompt_tokens": 8, "completion_tokens": 2},
        "caller": {"attempts": 2, "prompt_tokens": 5, "completion_tokens": 1, "unreadable": True},
    }
    unmade = step(0, "a") | {"action": None, "roles": roles}
    cost = measure(trajectory(unmade, status="gave_up")).roles["caller"]
    assert (cost.calls, cost.prompt_tokens, cost.completion_tokens, cost.latency_ms) == (1, 5, 1, 4)
