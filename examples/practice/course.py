"""What is done for one question: thoughts, calls that the tool API really answers, and the end."""

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
    """A thought, the call that followed, and what came back."""

    thought: str
    tool: str
    arguments: Json
    observation: str
    is_error: bool


@dataclass(frozen=True)
class Question:
    """An instruction and how its course ends. `answer` is None where the only right thing is to give up."""

    instruction: str
    thought: str
    answer: str | None

    @property
    def status(self) -> Literal["completed", "gave_up"]:
        """How the trajectory ended."""
        return "gave_up" if self.answer is None else "completed"


@dataclass
class Course:
    """Collects the calls of a question. `draw` decides everything that may vary."""

    api: ToolApi
    draw: random.Random
    calls: list[Call] = field(default_factory=list)

    def call(self, thought: str, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Make a call that belongs to the course; what the tool answered, which is empty for an error."""
        answer = self.api.call(tool, arguments)
        self.calls.append(Call(thought, tool, dict(arguments), answer.content, answer.is_error))
        return {} if answer.is_error else json.loads(answer.content)

    def look_up(self, tool: str, arguments: Mapping[str, Any]) -> Json:
        """Ask what only the author of the question needs to know. Raises `LookupError` where there is no answer."""
        answer = self.api.call(tool, arguments)
        if answer.is_error:
            raise LookupError(answer.content)
        result: Json = json.loads(answer.content)
        return result


# Asks one question of its kind. It may raise `LookupError`, for values that the tools do not know.
Kind = Callable[[Course], Question]
