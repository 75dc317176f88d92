"""A recorded trajectory, whichever data it came from, and the calls in it with what they brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from alpha_umi.roles.caller import Call
from alpha_umi.roles.turns import Tool, Turn
from recordings.contamination import instruction_digest
from recordings.turns import read_call

# Why a trajectory is left out, for all loaders.
NOT_OFFERED: Final = "a call of a tool that is not on offer"


@dataclass(frozen=True)
class RecordedTrajectory:
    """A trajectory as somebody once went through it. The first of its turns is the instruction.

    `id` is unique within a suite. `answer` is what the final answer has to be, where that can be compared exactly,
    `procedure` which calls are wanted in all, where more of them are known than were recorded.
    """

    id: str
    tools: tuple[Tool, ...]
    turns: tuple[Turn, ...]
    answer: str | None = None
    procedure: Procedure | None = None

    @property
    def instruction(self) -> str:
        """What the user wants."""
        return self.turns[0].content


@dataclass(frozen=True)
class RecordedCall:
    """A call and the observation that followed it."""

    call: Call
    observation: str


@dataclass(frozen=True)
class Loaded:
    """What a loader found. `left_out` counts what could not be a trajectory, by the reason."""

    trajectories: tuple[RecordedTrajectory, ...]
    left_out: dict[str, int] = field(default_factory=dict)


def recorded_calls(trajectory: RecordedTrajectory) -> Iterator[RecordedCall]:
    """The calls that were answered, in order. Text that is no call is nothing that could be made again."""
    for turn, following in pairwise(trajectory.turns):
        call = read_call(turn) if turn.role == "caller" and following.role == "observation" else None
        if call is not None:
            yield RecordedCall(call, following.content)


SHOWN_DIGITS = 16


def ids_of(instructions: Iterable[str]) -> Iterator[str]:
    """An id for each; a repeated instruction is numbered."""
    seen: Counter[str] = Counter()
    for instruction in instructions:
        name = instruction_digest(instruction)[:SHOWN_DIGITS]
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


@dataclass(frozen=True)
class Procedure:
    """The wanted calls in order, each a tool's name and its arguments as they are written there, and of each tool the
    form of its answers in words."""

    calls: tuple[tuple[str, str], ...]
    answers: Mapping[str, str]
