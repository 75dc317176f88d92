"""The published questions for a judge as data (`prompts/*.yaml`), and a session that sends them for one verdict.

    name, version, source, licence, temperature, max_tokens
    placeholders: braces ({query}) or dollars (${query}), as they are published
    questions: {NAME: {text, about, field, shape}}

A question with a `field` is sent as a call of a function of its name, whose argument `field` has the `shape`; one
without is answered in text. An answer that cannot be parsed is requested again, up to `ATTEMPTS` times.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from evaluation.judge.chat_client import Judge, TooLong
from evaluation.judge.verdicts import QuestionRecord

FOLDER = Path(__file__).parent / "prompts"
REASON = {"type": "string", "description": "explain your answer."}


class Question(BaseModel):
    """A question: its text with placeholders, and the function that the judge calls to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1)]
    about: str = ""
    field: str = ""
    shape: dict[str, Any] = Field(default_factory=dict)

    def function(self, name: str) -> dict[str, Any] | None:
        """The function to call; None for a question that is answered in text."""
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
        """The question with its placeholders filled; values are not scanned for placeholders."""
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


# As in the published evaluation of ToolBench.
ATTEMPTS: Final = 3
# Parses a text; None if it cannot be parsed.
Read = Callable[[str], str | None]
_FENCED = re.compile(r"```(?:json)?\s*(\{.*\})\s*```", re.DOTALL)


class UnparseableJudgement(Exception):
    """No attempt of the judge could be parsed."""


class JudgeSession:
    """The questions of one verdict; `questions` has their records in order."""

    def __init__(self, judge: Judge, prompts: Prompts) -> None:
        self.questions: list[QuestionRecord] = []
        self._judge = judge
        self._prompts = prompts

    async def choose(self, name: str, **values: str) -> str:
        """The argument of the function call that answers a question. Raises `UnparseableJudgement`, and what
        `Judge.ask` raises.
        """
        question = self._prompts.questions[name]
        return await self.ask(name, lambda text: _chosen(text, question.field, question.shape), values)

    async def ask(self, name: str, read: Read, values: dict[str, str]) -> str:
        """The parsed answer to a question. Raises `UnparseableJudgement`, and what `Judge.ask` raises."""
        prompt = self._prompts.text(name, values)
        record = QuestionRecord(
            name=name,
            prompt_sha256=hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
            texts=[],
            answer=None,
        )
        try:
            while record.answer is None and len(record.texts) < ATTEMPTS:
                record = await self._again(name, prompt, record, read)
        except TooLong as error:
            record = _with(record, texts=[*record.texts, f"too long: {error}"])
            raise
        finally:
            self.questions.append(record)
        if record.answer is None:
            raise UnparseableJudgement(name)
        return record.answer

    async def _again(self, name: str, prompt: str, record: QuestionRecord, read: Read) -> QuestionRecord:
        prompts = self._prompts
        completion = await self._judge.ask(
            prompt,
            prompts.questions[name].function(name),
            temperature=prompts.temperature,
            max_tokens=prompts.max_tokens,
        )
        usage = completion.usage
        return _with(
            record,
            texts=[*record.texts, completion.text],
            answer=read(completion.text),
            prompt_tokens=record.prompt_tokens + (usage.prompt_tokens if usage else 0),
            completion_tokens=record.completion_tokens + (usage.completion_tokens if usage else 0),
        )


def _with(record: QuestionRecord, **values: Any) -> QuestionRecord:
    """A validated copy; `model_copy` does not validate."""
    return QuestionRecord.model_validate(record.model_dump() | values)


def _chosen(text: str, field: str, shape: dict[str, Any]) -> str | None:
    """The argument `field` of a call, as text; None if it is missing or not of its shape."""
    fenced = _FENCED.search(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    chosen = value.get(field) if isinstance(value, dict) else None
    if "enum" in shape:
        return chosen if chosen in shape["enum"] else None
    return next((index for index in ("0", "1") if chosen == index or chosen == int(index)), None)
