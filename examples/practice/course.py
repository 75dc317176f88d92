"""The course of one question: rationales, real calls of the tool API, and the ending."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from examples.practice.calling import ToolApi

Json = dict[str, Any]


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
    """An instruction and its ending. `answer` is None if giving up is correct."""

    instruction: str
    thought: str
    answer: str | None

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

    def call(self, thought: str, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Make a call of the course; the tool's answer, which is empty for an error."""
        answer = self.api.call(tool, arguments)
        self.calls.append(Call(thought, tool, dict(arguments), answer.content, answer.is_error))
        return {} if answer.is_error else json.loads(answer.content)

    def look_up(self, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Make a call outside of the course, for the author of the question. Raises `LookupError` without an answer."""
        answer = self.api.call(tool, arguments)
        if answer.is_error:
            raise LookupError(answer.content)
        result: Json = json.loads(answer.content)
        return result


# Builds one question of its kind. Raises `LookupError` for values that the tools do not know.
Kind = Callable[[Course], Question]
