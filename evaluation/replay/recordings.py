"""Replay recorded calls: the exact call returns its recorded answer, any other call a typed error; both are counted.

Arguments are compared as JSON values: the order of names and 5 against 5.0 make no difference. A call that was made
several times returns its answers in order, then the last one.

Trajectories are replayed together only if nothing is ambiguous: a tool's name means the same tool in all of them, and a
call that two of them have returned the same single answer. Their tools must fit one OpenAPI document.
`compatible_groups` forms such groups.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from alpha_umi.roles.turns import Tool
from evaluation.errors import EvaluationError
from evaluation.replay.tool_server import Arguments, CallRefused, ToolAnswer
from recordings.trajectory import NOT_RECORDED, CallKey, RecordedTrajectory, call_key, recorded_calls

# Limits of an orchestrator for one OpenAPI document.
MAX_TOOLS = 500
# The orchestrator's observation of a failed tool.
_FAILURE = re.compile(r"HTTP (?P<status>[45]\d\d) from the tool(?:: (?P<body>.*)|\.)", re.DOTALL)


class CannotReplay(EvaluationError):
    """The trajectories cannot be replayed, or not together."""


@dataclass
class Replay:
    """The recorded answers of some trajectories, and counts of calls with and without one, by tool."""

    tools: tuple[Tool, ...]
    answers: Mapping[CallKey, Sequence[str]]
    answered: Counter[str] = field(default_factory=Counter)
    not_recorded: Counter[str] = field(default_factory=Counter)
    _given: Counter[CallKey] = field(default_factory=Counter)

    def answer(self, name: str, arguments: Arguments) -> ToolAnswer:
        """The recorded answer of a call. Raises `CallRefused` if there is none."""
        key = call_key(name, arguments)
        if key not in self.answers:
            self.not_recorded[name] += 1
            raise CallRefused(
                NOT_RECORDED,
                "The call is not among the recorded ones",
                f"{name!r} was never called with these arguments when this was recorded",
                status=HTTPStatus.NOT_FOUND,
            )
        self.answered[name] += 1
        recorded = self.answers[key]
        content = recorded[min(self._given[key], len(recorded) - 1)]
        self._given[key] += 1
        return _as_answered(content)


def build_replay(trajectories: Sequence[RecordedTrajectory], *, calls_needed: bool = True) -> Replay:
    """The replay of compatible trajectories. Raises `CannotReplay`, with `calls_needed` also if there are no calls."""
    tools: dict[str, Tool] = {}
    answers: dict[CallKey, tuple[str, ...]] = {}
    for trajectory in trajectories:
        clash = _clash(trajectory, tools, answers)
        if clash is not None:
            raise CannotReplay(
                f"trajectory {trajectory.id!r}: {clash}", remedy="replay it separately; see `compatible_groups`"
            )
        tools |= _tools(trajectory)
        answers |= _answers(trajectory)
    if calls_needed and not answers:
        raise CannotReplay("no call was recorded", remedy="name trajectories with calls that were answered")
    return Replay(tuple(tools.values()), answers)


def compatible_groups(trajectories: Iterable[RecordedTrajectory]) -> list[tuple[RecordedTrajectory, ...]]:
    """Groups of trajectories that can be replayed together, by a greedy pass."""
    groups: list[tuple[list[RecordedTrajectory], dict[str, Tool], dict[CallKey, tuple[str, ...]]]] = []
    for trajectory in trajectories:
        for members, tools, answers in groups:
            if _clash(trajectory, tools, answers) is None:
                members.append(trajectory)
                tools |= _tools(trajectory)
                answers |= _answers(trajectory)
                break
        else:
            groups.append(([trajectory], _tools(trajectory), _answers(trajectory)))
    return [tuple(members) for members, _, _ in groups]


def _tools(trajectory: RecordedTrajectory) -> dict[str, Tool]:
    return {tool.prompt_name: tool for tool in trajectory.tools}


def _answers(trajectory: RecordedTrajectory) -> dict[CallKey, tuple[str, ...]]:
    """Calls of tools that were not offered cannot be replayed."""
    offered = _tools(trajectory)
    answers: dict[CallKey, tuple[str, ...]] = {}
    for each in recorded_calls(trajectory):
        key = call_key(each.call.name, each.call.arguments)
        if key[0] in offered:
            answers[key] = (*answers.get(key, ()), each.observation)
    return answers


def _clash(
    trajectory: RecordedTrajectory, tools: Mapping[str, Tool], answers: Mapping[CallKey, tuple[str, ...]]
) -> str | None:
    offered = _tools(trajectory)
    if len(tools.keys() | offered) > MAX_TOOLS:
        return f"with it there are more than {MAX_TOOLS} tools"
    for name, tool in offered.items():
        if tools.get(name, tool) != tool:
            return f"another trajectory has another tool of the name {name!r}"
    for key, observations in _answers(trajectory).items():
        if key in answers and (answers[key] != observations or len(observations) > 1):
            return f"another trajectory has the same call of {key[0]!r} with other answers"
    return None


def _as_answered(content: str) -> ToolAnswer:
    """The answer for which an orchestrator produces the recorded observation."""
    failure = _FAILURE.fullmatch(content)
    return ToolAnswer(failure["body"] or "", int(failure["status"])) if failure else ToolAnswer(content)
