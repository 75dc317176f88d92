"""Turns as readers make them of what a data set says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpha_umi.roles.caller import Call, parse_call, write_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, write_plan
from alpha_umi.roles.turns import Turn

# Why a trajectory is left out, for all readers.
NO_TOOLS: Final = "no tool is on offer"
NO_START: Final = "it does not begin with the user"


@dataclass(frozen=True)
class SaidCall:
    """A call, and what came back where that is known."""

    name: str
    arguments: Mapping[str, Any]
    observation: str | None = None


def calls_in_turn(thought: str, calls: Sequence[SaidCall]) -> Iterator[Turn]:
    """Calls that were made at once, one step after the other, the thought before the first.

    They end after the first call of which it is not known what came back.
    """
    for number, call in enumerate(calls):
        yield plan_turn(thought if number == 0 else "", "caller")
        yield Turn("caller", write_call(call.name, call.arguments))
        if call.observation is None:
            return
        yield Turn("observation", call.observation)


def answered(thought: str, answer: str) -> Iterator[Turn]:
    """A conclusion and its answer."""
    yield from (plan_turn(thought, "conclusion"), Turn("conclusion", answer))


def gave_up(thought: str) -> Iterator[Turn]:
    """Giving up."""
    yield plan_turn(thought, "give up")


def plan_turn(thought: str, decision: Decision) -> Turn:
    """The planner's turn. A decision that the thought itself names would be read in the place of the real one."""
    return Turn("planner", write_plan(thought.replace("Next:", "Next -"), decision).lstrip())


def read_call(turn: Turn) -> Call | None:
    """The call of a caller's turn; None where it cannot be read."""
    try:
        return parse_call(turn.content)
    except UnreadableOutput:
        return None
