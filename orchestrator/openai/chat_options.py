"""What a chat completion sets for its turn: tools, sampling, the form of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alpha_umi.contract.openai.chat import (
    AllowedToolsChoice,
    CreateChatCompletion,
    JsonSchemaFormat,
    NamedTool,
)
from alpha_umi.contract.openai.responses import JsonObjectFormat
from alpha_umi.contract.openai.tools import AllowedTools, FunctionChoice, FunctionTool, RegisteredTools
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.trajectory import TurnOptions
from orchestrator.api.tools import require_answer_schema
from orchestrator.assembly import Orchestrator
from orchestrator.openai.tool_selection import SelectedTools, selected_tools, tool_options

FORMAT = "response_format"
# Where a field of a response stands in a chat completion.
_PLACES = (
    (re.compile(r"^(tools\.\d+)(?=\.(?:name|parameters)\b)"), r"\1.function"),
    (re.compile(r"^tool_choice\.name$"), "tool_choice.function.name"),
    (re.compile(r"^tool_choice\.(tools\.\d+)\.name$"), r"tool_choice.allowed_tools.\1.function.name"),
)


async def chat_tools(orchestrator: Orchestrator, request: CreateChatCompletion, *, owner: str) -> SelectedTools:
    """The tools of a request. Raises `ServiceError` that names the entry at fault."""
    tools = request.tools
    entries = (
        None
        if tools is None
        else [
            tool if isinstance(tool, RegisteredTools) else FunctionTool(type="function", **dict(tool.function))
            for tool in tools
        ]
    )
    with _own_places():
        return await selected_tools(orchestrator, entries, owner=owner)


async def chat_options(
    request: CreateChatCompletion, instructions: str | None, tools: SelectedTools, strategy: Strategy
) -> TurnOptions:
    """The options of the request's turn. Raises `ServiceError`."""
    schema = _answer_schema(request)
    if schema is not None and strategy == "single":
        detail = "the single model writes no answer inside a schema"
        raise refusal(FORMAT, detail, "use another model")
    if request.stop and strategy == "single":
        detail = "the answers of the single model do not end at texts"
        raise refusal("stop", detail, "leave it out, or use another model")
    if schema is not None:
        await require_answer_schema(schema, field=f"{FORMAT}.json_schema.schema")
    options = TurnOptions(
        instructions=instructions,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        max_output_tokens=request.max_completion_tokens or request.max_tokens,
        answer_schema=schema,
    )
    with _own_places():
        return tool_options(options, _choice(request), tools)


def _answer_schema(request: CreateChatCompletion) -> dict[str, Any] | None:
    match request.response_format:
        case JsonSchemaFormat(json_schema=named):
            return named.schema_
        case JsonObjectFormat():
            return {"type": "object"}
        case _:
            return None


def _choice(request: CreateChatCompletion) -> str | FunctionChoice | AllowedTools:
    match request.tool_choice:
        case NamedTool(function=function):
            return FunctionChoice(type="function", name=function.name)
        case AllowedToolsChoice(allowed_tools=allowed):
            names: list[FunctionChoice | RegisteredTools] = [
                FunctionChoice(type="function", name=tool.function.name) for tool in allowed.tools
            ]
            return AllowedTools(type="allowed_tools", mode=allowed.mode, tools=names)
        case None:
            return "auto"
        case mode:
            return mode


@contextmanager
def _own_places() -> Iterator[None]:
    """Name the fields of a chat completion in what is raised."""
    try:
        yield
    except ServiceError as error:
        for problem in error.errors:
            for place, own in _PLACES:
                problem.field = place.sub(own, problem.field)
        raise
