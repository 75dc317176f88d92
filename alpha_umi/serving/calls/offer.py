"""The offered tools of a call, their grammars, and the parsed and validated call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.roles.caller import NO_CALL, Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.calls.grammar import call_grammar
from alpha_umi.serving.calls.validation import CallInvalid, validate_call
from alpha_umi.serving.engine import Grammar


@dataclass(frozen=True)
class Rejected:
    """A text that is not a valid call, and the reason."""

    text: str
    reason: str


def prompt_tools(tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """The tools under the names that the prompt shows. Raises `ServiceError` for an invalid schema."""
    for position, tool in enumerate(tools):
        try:
            check_schema(tool.parameters)
        except ToolSchemaError as error:
            raise _schema_problem(position, tool, error) from error
    return tuple(replace(tool, name=tool.prompt_name) for tool in tools)


def call_grammars(tools: Sequence[Tool], answer_tokens: int) -> tuple[Grammar, Grammar]:
    """The grammar of the first attempt, and that of the repair, which closes any text within the token bound.

    If the required arguments do not fit the strict budget, the repair uses the first grammar again.
    Raises `ServiceError` for a schema that cannot be used or does not fit.
    """
    try:
        first = call_grammar(tools, token_bound=answer_tokens)
    except ToolSchemaError as error:
        position = next((i for i, tool in enumerate(tools) if tool.name == error.tool), 0)
        raise _schema_problem(position, tools[position], error) from error
    try:
        repair = call_grammar(tools, token_bound=answer_tokens, strict=True)
    except ToolSchemaError:
        repair = first
    return Grammar(first.lark), Grammar(repair.lark)


def read_call(text: str, tools: Sequence[Tool]) -> Call | Rejected:
    """The call in a text, validated against its tool; else the reason against it."""
    try:
        parsed = parse_call(text)
        validate_call(parsed.name, parsed.arguments, tools)
    except UnreadableOutput as error:
        return Rejected(text, error.reason)
    except CallInvalid as error:
        return Rejected(text, str(error))
    return parsed


def rejection_turns(rejected: Rejected) -> tuple[Turn, Turn]:
    """The rejected call and its error, as the repair's prompt shows them."""
    return Turn("caller", rejected.text), Turn("observation", NO_CALL + rejected.reason)


def _schema_problem(position: int, tool: Tool, error: ToolSchemaError) -> ServiceError:
    field = f"tools.{position}.parameters{error.pointer.replace('/', '.')}"
    detail = f"tool {tool.name!r}: {error.reason}"
    return ServiceError("tool-schema-invalid", detail, field=field, remedy=error.remedy)
