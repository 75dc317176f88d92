"""The offered tools of a call, their grammar, and the parsed and validated call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from alpha_umi.contract.problems import Kind, ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.roles.caller import NO_CALL, Call, parse_call, parse_json_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.grammar import CACHED_TOOLS, call_grammar
from alpha_umi.serving.calls.validation import CallInvalid, repeated_member, validate_call
from alpha_umi.serving.engine import Grammar
from alpha_umi.serving.generation import GenerationSession

# Of an unfinished text, as the repair's prompt shows it: one that ran on invites another one.
SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Rejected:
    """A text that is not a valid call, and the reason. `unfinished`: the token limit cut it."""

    text: str
    reason: str
    unfinished: bool = False

    @property
    def problem(self) -> Kind:
        """The kind of the problem document."""
        return "call-unfinished" if self.unfinished else "call-invalid"

    @property
    def turns(self) -> tuple[Turn, Turn]:
        """The rejected call and its error, as the repair's prompt shows them."""
        text = beginning(self.text) if self.unfinished else self.text
        return Turn("caller", text), Turn("observation", NO_CALL + self.reason)


def beginning(text: str) -> str:
    """The part of an unfinished text that the repair's prompt shows."""
    return f"{text[:SHOWN_CHARACTERS]}..." if len(text) > SHOWN_CHARACTERS else text


def prompt_tools(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools under the names that the prompt shows. Raises `ServiceError` for an invalid schema."""
    for position, tool in enumerate(tools):
        try:
            check_once(check_schema, json.dumps(tool.parameters))
        except ToolSchemaError as error:
            raise _schema_problem(position, tool, error) from error
    return tuple(replace(tool, name=tool.prompt_name) for tool in tools)


async def call_constraint(
    context: RoleContext, tools: Sequence[Tool], *, constrained: bool, as_json: bool = False
) -> Grammar | None:
    """The grammar of a request's calls, made in a thread; None without constraints."""
    if not constrained:
        return None
    grammar = await asyncio.to_thread(call_grammar, tools, as_json=as_json)
    context.metrics.count_loosened(grammar.loosened)
    return grammar


def read_call(text: str, tools: Sequence[Tool], *, cut_at: int | None = None, as_json: bool = False) -> Call | Rejected:
    """The call in a text, validated against its tool; else the reason against it.

    `cut_at` is the token limit if it ended the text. `as_json`: a JSON object is a call, too.
    """
    try:
        parsed = parse_json_call(text) if as_json and "Action:" not in text.partition("{")[0] else parse_call(text)
        if (name := repeated_member(parsed.arguments_text)) is not None:
            raise CallInvalid(f"{parsed.name}: the member {name!r} is written twice")
        validate_call(parsed.name, parsed.arguments, tools)
    except UnreadableOutput as error:
        if cut_at is not None:
            reason = f"the call was not finished within {cut_at} tokens; write a shorter one"
            return Rejected(text, reason, unfinished=True)
        return Rejected(text, error.reason)
    except CallInvalid as error:
        return Rejected(text, str(error))
    return parsed


def finished_call(
    session: GenerationSession, text: str, tools: Sequence[Tool], *, as_json: bool = False
) -> Call | Rejected:
    """The call in a text that the session's newest generation ended. A call that the token limit cut is counted."""
    outcome = read_call(text, tools, cut_at=session.cut_at, as_json=as_json)
    if isinstance(outcome, Rejected) and outcome.unfinished:
        session.count_unfinished_call()
    return outcome


# Every request repeats the schemas of its tools, and checking a large one takes milliseconds.
@lru_cache(CACHED_TOOLS)
def check_once(check: Callable[[Any], None], schema: str) -> None:
    """Check a schema, given as JSON text. Raises `ToolSchemaError`."""
    check(json.loads(schema))


def _schema_problem(position: int, tool: Tool, error: ToolSchemaError) -> ServiceError:
    field = f"tools.{position}.parameters{error.pointer.replace('/', '.')}"
    detail = f"tool {tool.name!r}: {error.reason}"
    return ServiceError("tool-schema-invalid", detail, field=field, remedy=error.remedy)
