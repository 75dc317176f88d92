"""The course of one question: rationales, real calls of the tool API, and the ending."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from examples.practice.calling import ToolApi

Json = dict[str, Any]
DONE: Final = "I can answer now."
TWO_PARTS: Final = "the question has two parts"
SECOND_MISSING: Final = "the second part is missing"


@dataclass(frozen=True)
class Call:
    """A rationale, its call, and the observation."""

    thought: str
    tool: str
    arguments: Json
    observation: str
    is_error: bool


@dataclass(frozen=True)
class Question:
    """An instruction and its ending.

    `answer` is None if giving up is correct. `lacks` is a tool that must not be on offer.
    """

    instruction: str
    thought: str
    answer: str | None
    lacks: str | None = None

    @property
    def status(self) -> Literal["completed", "gave_up"]:
        """The status of the trajectory."""
        return "gave_up" if self.answer is None else "completed"


@dataclass
class Course:
    """Collects the calls of a question. `draw` is the random generator of all choices."""

    api: ToolApi
    draw: random.Random
    calls: list[Call] = field(default_factory=list)
    _notes: str = ""

    def note(self, *clauses: str) -> None:
        """Begin the next rationale with these clauses, as sentences."""
        self._notes += "".join(f"{sentence(clause)} " for clause in clauses)

    def call(self, need: str, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Call a tool for what is needed. Raises `LookupError` if the tool has no answer."""
        call = self.attempt(need, tool, arguments)
        return _answer(call.observation, is_error=call.is_error)

    def attempt(self, need: str, tool: str, arguments: Mapping[str, Any]) -> Call:
        """Call a tool, which may fail."""
        thought = f"{self._notes}I need {need}. I call {tool}."
        result = self.api.call(tool, arguments)
        self._notes = ""
        self.calls.append(Call(thought, tool, dict(arguments), result.content, result.is_error))
        return self.calls[-1]

    def pair(self, needs: Sequence[str], tool: str, arguments: Sequence[Json], field: str) -> tuple[Any, Any]:
        """A field of two calls."""
        self.note(TWO_PARTS)
        first = self.call(needs[0], tool, arguments[0])[field]
        self.note(SECOND_MISSING)
        return first, self.call(needs[1], tool, arguments[1])[field]

    def look_up(self, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Make a call outside of the course, for the author of the question. Raises `LookupError` without an answer."""
        result = self.api.call(tool, arguments)
        return _answer(result.content, is_error=result.is_error)


@dataclass(frozen=True)
class Part:
    """A question with one fact as its answer.

    `question` is a clause without its mark ("which weekday is ..."), `noun` what is wanted ("the weekday of ..."),
    `order` the same as a command. `solve` makes the calls and returns the fact, a clause.
    """

    question: str
    noun: str
    solve: Callable[[Course], str]
    order: str = ""


@dataclass(frozen=True)
class OneCall:
    """A part that one call answers.

    `fact` has the fields of the tool's answer in braces. `need` is the noun of the rationale, if it is another one.
    """

    question: str
    noun: str
    tool: str
    arguments: Json
    fact: str
    need: str = ""
    order: str = ""

    @property
    def wanted(self) -> str:
        """The noun of the rationale."""
        return self.need or self.noun

    def solve(self, course: Course) -> str:
        """Make the call."""
        return self.fact.format(**course.call(self.wanted, self.tool, self.arguments))


AnyPart = Part | OneCall
# Makes one part. Raises `LookupError` for values that the tools do not know.
Maker = Callable[[Course], AnyPart]
# Makes one question. Raises `LookupError`, too.
Kind = Callable[[Course], Question]


def sentence(clause: str) -> str:
    """A clause as a sentence."""
    return f"{clause[0].upper()}{clause[1:]}."


def _answer(observation: str, *, is_error: bool) -> Json:
    result: Json = {} if is_error else json.loads(observation)
    if not result or None in result.values():  # no sunrise on a polar day
        raise LookupError(observation)
    return result
