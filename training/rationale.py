"""Rationales of the training data, where a source has none or unsuitable ones.

- `original`: the rationales of the source, unchanged;
- `filled`: missing ones are replaced by a short one;
- `short`: all are replaced by a short one.

A short rationale names the tool and its purpose, but no arguments: these are the caller's task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, parse_plan
from alpha_umi.roles.turns import Tool, Turn
from recordings.trajectory import RecordedTrajectory
from recordings.turns import plan_turn, read_call

Rationale = Literal["original", "filled", "short"]
ANSWER: Final = "What is known now is enough to answer."
GIVE_UP: Final = "None of the tools can do what is asked."
MAX_CHARACTERS: Final = 120


def with_rationales(trajectory: RecordedTrajectory, rationale: Rationale) -> RecordedTrajectory:
    """The trajectory with the rationales that `rationale` selects."""
    if rationale == "original":
        return trajectory
    tools = {tool.name: tool for tool in trajectory.tools}
    following = (*trajectory.turns[1:], None)
    turns = (_turn(turn, after, tools, rationale) for turn, after in zip(trajectory.turns, following, strict=True))
    return replace(trajectory, turns=tuple(turns))


def _turn(turn: Turn, following: Turn | None, tools: Mapping[str, Tool], rationale: Rationale) -> Turn:
    if turn.role != "planner":
        return turn
    try:
        plan = parse_plan(turn.content)
    except UnreadableOutput:
        return turn
    if plan.thought and rationale == "filled":
        return turn
    return plan_turn(_written(plan.next, following, tools), plan.next)


def _written(decision: Decision, following: Turn | None, tools: Mapping[str, Tool]) -> str:
    if decision == "conclusion":
        return ANSWER
    if decision == "give up":
        return GIVE_UP
    call = read_call(following) if following is not None and following.role == "caller" else None
    tool = tools.get(call.name) if call else None
    if tool is None:
        return ""
    purpose = " ".join(tool.description.split()).partition(". ")[0].rstrip(".")[:MAX_CHARACTERS].strip()
    return f"I call {tool.name} next" + (f": {purpose}." if purpose else ".")
