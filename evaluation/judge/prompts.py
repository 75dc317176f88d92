"""What a judge is asked, as data: the published questions with their source, and how they are sent.

    name, version, source, licence, temperature, max_tokens
    placeholders: braces ({query}) or dollars (${query}), as they are published
    questions: {NAME: {text, about, field, shape}}

A question with a `field` is put as the call of a function of its name, whose argument `field` has the `shape`; one
without is answered in words.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

FOLDER = Path(__file__).parent / "prompts"
REASON = {"type": "string", "description": "explain your answer."}


class Question(BaseModel):
    """A question: its text with placeholders, and the function that answers it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1)]
    about: str = ""
    field: str = ""
    shape: dict[str, Any] = Field(default_factory=dict)

    def function(self, name: str) -> dict[str, Any] | None:
        """The function that is to be called; None for a question that is answered in words."""
        if not self.field:
            return None
        properties = {self.field: self.shape, "reason": REASON}
        parameters = {"type": "object", "properties": properties, "required": [self.field, "reason"]}
        return {"name": name, "description": self.about, "parameters": parameters}


class Prompts(BaseModel):
    """The questions of a procedure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    source: str
    licence: str
    placeholders: Literal["braces", "dollars"]
    temperature: float
    max_tokens: int | None = None
    questions: dict[str, Question]
    finish: dict[str, Any] = Field(default_factory=dict)

    def text(self, name: str, values: dict[str, str]) -> str:
        """A question with its values, whatever is in them."""
        text = self.questions[name].text
        return text.format(**values) if self.placeholders == "braces" else Template(text).substitute(values)


@functools.cache
def load_prompts(name: str) -> Prompts:
    """The questions of a file."""
    return Prompts.model_validate(yaml.safe_load(_path(name).read_text(encoding="utf-8")))


@functools.cache
def prompts_digest(name: str) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(_path(name).read_bytes()).hexdigest()


def _path(name: str) -> Path:
    return FOLDER / f"{name}.yaml"
