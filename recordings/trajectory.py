"""Recorded trajectories: instruction, tools and turns, with the calls in them and their observations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from alpha_umi.roles.caller import Call
from alpha_umi.roles.turns import Tool, Turn
from recordings.contamination import instruction_digest
from recordings.turns import read_call

# Reason to exclude a trajectory, for all loaders.
NOT_OFFERED: Final = "a call of a tool that is not on offer"
# Problem kind of a replay server: no recorded call has the key of this one.
NOT_RECORDED: Final = "call-not-recorded"

CallKey = tuple[str, str]


@dataclass(frozen=True)
class RecordedTrajectory:
    """A recorded trajectory. Its first turn is the instruction.

    `id` is unique within a suite. `answer` is the expected final answer, where answers can be compared exactly.
    `answer_forms` describe the answers of each tool, where the data has such descriptions.
    """

    id: str
    tools: tuple[Tool, ...]
    turns: tuple[Turn, ...]
    answer: str | None = None
    answer_forms: Mapping[str, str] | None = None

    @property
    def instruction(self) -> str:
        """The first turn of the user."""
        return self.turns[0].content


@dataclass(frozen=True)
class RecordedCall:
    """A call and the observation that followed it."""

    call: Call
    observation: str


@dataclass(frozen=True)
class Loaded:
    """The result of a loader. `excluded` counts excluded entries by reason."""

    trajectories: tuple[RecordedTrajectory, ...]
    excluded: dict[str, int] = field(default_factory=dict)


def recorded_calls(trajectory: RecordedTrajectory) -> Iterator[RecordedCall]:
    """The calls that have an observation, in order. Unparsable calls are skipped."""
    for turn, following in pairwise(trajectory.turns):
        call = read_call(turn) if turn.role == "caller" and following.role == "observation" else None
        if call is not None:
            yield RecordedCall(call, following.content)


def call_key(name: str, arguments: Mapping[str, Any]) -> CallKey:
    """Tool name and canonical arguments: equal for equal calls. Key order and 5 against 5.0 make no difference."""
    return Tool(name).prompt_name, json.dumps(_canonical(arguments), sort_keys=True)


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


ID_DIGITS = 16


def content_ids(instructions: Iterable[str]) -> Iterator[str]:
    """An id for each instruction, from its digest; repetitions are numbered. Ids do not depend on the order of rows."""
    seen: Counter[str] = Counter()
    for instruction in instructions:
        name = instruction_digest(instruction)[:ID_DIGITS]
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"
