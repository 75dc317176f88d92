"""The offered tools of a call, their grammar, and the parsed and validated call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from alpha_umi.contract.problems import Kind, ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.roles.caller import NO_CALL, Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.grammar import CACHED_TOOLS, call_grammar
from alpha_umi.serving.calls.validation import CallInvalid, validate_call
from alpha_umi.serving.engine import Grammar
from alpha_umi.serving.generation import GenerationSession

# Of an unfinished call, as the repair's prompt shows it: a text that ran on invites another one.
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
        long = self.unfinished and len(self.text) > SHOWN_CHARACTERS
        shown = f"{self.text[:SHOWN_CHARACTERS]}..." if long else self.text
        return Turn("caller", shown), Turn("observation", NO_CALL + self.reason)


def prompt_tools(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools under the names that the prompt shows. Raises `ServiceError` for an invalid schema."""
    for position, tool in enumerate(tools):
        try:
            _check(json.dumps(tool.parameters))
        except ToolSchemaError as error:
            raise _schema_problem(position, tool, error) from error
    return tuple(replace(tool, name=tool.prompt_name) for tool in tools)


async def call_constraint(context: RoleContext, tools: Sequence[Tool], *, constrained: bool) -> Grammar | None:
    """The grammar of a request's calls, made in a thread; None without constraints."""
    if not constrained:
        return None
    grammar = await asyncio.to_thread(call_grammar, tools)
    context.metrics.count_loosened(grammar.loosened)
    return grammar


def read_call(text: str, tools: Sequence[Tool], *, cut_at: int | None = None) -> Call | Rejected:
    """The call in a text, validated against its tool; else the reason against it.

    `cut_at` is the token limit if it ended the text.
    """
    try:
        parsed = parse_call(text)
        _check_names(parsed)
        validate_call(parsed.name, parsed.arguments, tools)
    except UnreadableOutput as error:
        if cut_at is not None:
            reason = f"the call was not finished within {cut_at} tokens; write a shorter one"
            return Rejected(text, reason, unfinished=True)
        return Rejected(text, error.reason)
    except CallInvalid as error:
        return Rejected(text, str(error))
    return parsed


def finished_call(session: GenerationSession, text: str, tools: Sequence[Tool]) -> Call | Rejected:
    """The call in a text that the session's newest generation ended. A call that the token limit cut is counted."""
    outcome = read_call(text, tools, cut_at=session.cut_at)
    if isinstance(outcome, Rejected) and outcome.unfinished:
        session.count_unfinished_call()
    return outcome


# Every request repeats the schemas of its tools, and checking a large one takes milliseconds.
@lru_cache(CACHED_TOOLS)
def _check(parameters: str) -> None:
    check_schema(json.loads(parameters))


def _check_names(call: Call) -> None:
    """Raises `CallInvalid` for an object that has a member twice, of which JSON readers drop one."""

    def distinct(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise CallInvalid(f"{call.name}: the member {twice[:100]!r} is written twice")

    json.loads(call.arguments_text, object_pairs_hook=distinct)


def _schema_problem(position: int, tool: Tool, error: ToolSchemaError) -> ServiceError:
    field = f"tools.{position}.parameters{error.pointer.replace('/', '.')}"
    detail = f"tool {tool.name!r}: {error.reason}"
    return ServiceError("tool-schema-invalid", detail, field=field, remedy=error.remedy)
