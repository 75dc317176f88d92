"""What the options of a turn become in the requests to the roles."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alpha_umi.contract.roles import ToolModel
from alpha_umi.trajectory import (
    AskPlanner,
    AskSummarizer,
    PlannerDecided,
    TrajectoryCreated,
    TurnOptions,
    Usage,
    replay,
)
from orchestrator.runs.role_calls import RoleCallContext, plan_call, summarize_call
from orchestrator.store import TrajectoryRow

ROW = TrajectoryRow("t", datetime(2026, 11, 30, tzinfo=UTC), None, "running", "Hi", "chain", ("a",))
CONCLUDED = PlannerDecided("Done.", "conclusion", "Done. Next: conclusion.", usage=Usage(50, 20))


def context(options: TurnOptions, *events: Any, tools: tuple[str, ...] = ("a",)) -> RoleCallContext:
    return RoleCallContext(
        ROW,
        replay([TrajectoryCreated("Hi", tools, options=options), *events]),
        tools=lambda: [ToolModel(name=name) for name in tools],
        tools_offered=None,
        constrained=True,
        streams=False,
        call_id=lambda: "call_1",
    )


def test_the_answer_has_the_options_of_its_turn() -> None:
    options = TurnOptions(stop=("END",), answer_schema={"type": "array"}, temperature=0.5, max_output_tokens=100)
    body = summarize_call(context(options, CONCLUDED), AskSummarizer(0)).request.body
    assert body.model_dump(exclude_unset=True) == {
        "history": [
            {"role": "user", "content": "Hi"},
            {"role": "planner", "content": "Done. Next: conclusion."},
        ],
        "answer_schema": {"type": "array"},
        "stop": ["END"],
        "stream": False,
        "temperature": 0.5,
        "token_budget": 80,
    }


@pytest.mark.parametrize(
    ("options", "tools", "allowed"),
    [
        (TurnOptions(), ("a",), ("caller", "conclusion", "give up")),
        (TurnOptions(must_call=True), ("a",), ("caller",)),
        (TurnOptions(), (), ("conclusion", "give up")),
    ],
)
def test_the_decisions_of_a_step(options: TurnOptions, tools: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    body: Any = plan_call(context(options, tools=tools), AskPlanner(0)).request.body
    assert body.allowed == allowed
