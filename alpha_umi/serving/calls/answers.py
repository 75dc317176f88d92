"""The answer of a request with a schema: its grammar, the check of what was written, and the history of its repair."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_answer_schema
from alpha_umi.roles.caller import read_json
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.summarizer import NO_ANSWER, parse_answer
from alpha_umi.roles.turns import Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.grammar import answer_grammar
from alpha_umi.serving.calls.offer import beginning, check_once
from alpha_umi.serving.calls.validation import repeated_member, value_fault
from alpha_umi.serving.engine import Grammar


async def answer_constraint(context: RoleContext, schema: Mapping[str, Any] | None) -> Grammar | None:
    """The grammar of an answer, made in a thread; None without a schema.

    Raises `ServiceError`: `answer-schema-invalid`, which names the place.
    """
    if schema is None:
        return None
    try:
        grammar = await asyncio.to_thread(_grammar, schema)
    except ToolSchemaError as error:
        field = f"answer_schema{error.pointer.replace('/', '.')}"
        raise ServiceError("answer-schema-invalid", error.reason, field=field, remedy=error.remedy) from error
    context.metrics.count_loosened(grammar.loosened)
    return grammar


def _grammar(schema: Mapping[str, Any]) -> Grammar:
    text = json.dumps(schema)
    check_once(check_answer_schema, text)
    return answer_grammar(text)


def read_answer(text: str, schema: Mapping[str, Any] | None, *, cut_at: int | None = None) -> str:
    """The answer in a text; with a valid schema, a JSON text that matches it.

    `cut_at` is the token limit if it ended the text. Raises `UnreadableOutput` with the reason.
    """
    answer = parse_answer(text)
    if schema is not None and (reason := _fault(answer, schema, cut_at)) is not None:
        raise UnreadableOutput(reason, answer)
    return answer


def _fault(answer: str, schema: Mapping[str, Any], cut_at: int | None) -> str | None:
    try:
        value, end = read_json(answer, subject="the answer")
    except UnreadableOutput as error:
        unfinished = f"the answer was not finished within {cut_at} tokens; write a shorter one"
        return error.reason if cut_at is None else unfinished
    if end < len(answer):
        return "text follows the JSON value; write nothing but JSON"
    if (name := repeated_member(answer)) is not None:
        return f"the member {name!r} is written twice"
    return value_fault(schema, value, "the answer")


def repair_history(history: Sequence[Turn], error: UnreadableOutput, *, unfinished: bool) -> tuple[Turn, ...]:
    """The history with the rejected answer and the reason against it."""
    shown = beginning(error.text) if unfinished else error.text
    return (*history, Turn("conclusion", shown), Turn("observation", NO_ANSWER + error.reason))
