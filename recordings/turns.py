"""Turns of recorded trajectories, built from the calls and answers of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpha_umi.roles.caller import Call, parse_call, write_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Turn

# Reasons to exclude a trajectory, for all readers.
NO_TOOLS: Final = "no tool is on offer"
NO_START: Final = "it does not begin with the user"


@dataclass(frozen=True)
class SourceCall:
    """A call of a data set, with its observation if it has one."""

    name: str
    arguments: Mapping[str, Any]
    observation: str | None = None


def call_turns(thought: str, calls: Sequence[SourceCall]) -> Iterator[Turn]:
    """Parallel calls as successive steps, the rationale before the first, up to a call without an observation."""
    for number, call in enumerate(calls):
        yield plan_turn(thought if number == 0 else "", "caller")
        yield Turn("caller", write_call(call.name, call.arguments))
        if call.observation is None:
            return
        yield Turn("observation", call.observation)


def conclusion_turns(thought: str, answer: str) -> Iterator[Turn]:
    """The turns of a conclusion and its answer."""
    yield from (plan_turn(thought, "conclusion"), Turn("conclusion", answer))


def give_up_turns(thought: str) -> Iterator[Turn]:
    """The turn of giving up."""
    yield plan_turn(thought, "give up")


def plan_turn(thought: str, decision: Decision) -> Turn:
    """The planner's turn. `Next:` inside the rationale is replaced, or it would be parsed as the decision."""
    return Turn("planner", write_plan(thought.replace("Next:", "Next -"), decision).lstrip())


def read_call(turn: Turn) -> Call | None:
    """The call of a caller's turn; None if it cannot be parsed."""
    try:
        return parse_call(turn.content)
    except UnreadableOutput:
        return None
