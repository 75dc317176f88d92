"""What a response shows of its request again. Pure but for the ids of items that have none."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from alpha_umi.contract.openai.input_items import InputItem
from alpha_umi.contract.openai.responses import CreateResponse, JsonSchemaFormat, TextOptions
from alpha_umi.contract.openai.tools import FunctionTool
from orchestrator.openai.item_documents import id_prefix, item_document
from orchestrator.store import TurnRow

# As a role service does it where a request says nothing.
_TEMPERATURE = 0.0
_TOP_P = 1.0


def request_document(body: CreateResponse, items: Sequence[InputItem], previous: TurnRow | None) -> dict[str, Any]:
    """The fields of the resource that come from the request, and its items as `input`."""
    reasoning = body.reasoning
    return {
        "model": body.model,
        "instructions": body.instructions,
        "previous_response_id": body.previous_response_id,
        "tools": _tools(body, previous),
        "tool_choice": body.tool_choice if isinstance(body.tool_choice, str) else _shown(body.tool_choice),
        "parallel_tool_calls": False,
        "max_tool_calls": body.max_tool_calls,
        "max_output_tokens": body.max_output_tokens,
        "temperature": _TEMPERATURE if body.temperature is None else body.temperature,
        "top_p": _TOP_P if body.top_p is None else body.top_p,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_logprobs": 0,
        "text": _text(body.text),
        "reasoning": None
        if reasoning is None
        else {"effort": reasoning.effort, "summary": reasoning.summary or reasoning.generate_summary},
        "metadata": body.metadata or {},
        "store": body.store,
        "background": body.background,
        "truncation": body.truncation,
        "service_tier": body.service_tier or "default",
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "prompt_cache_retention": body.prompt_cache_retention,
        "input": [item_document(item, item.id or id_prefix(item) + uuid.uuid4().hex) for item in items],
    }


def _tools(body: CreateResponse, previous: TurnRow | None) -> list[dict[str, Any]]:
    if body.tools is None:
        shown: list[dict[str, Any]] = [] if previous is None else previous.document["tools"]
        return shown
    return [tool.model_dump() if isinstance(tool, FunctionTool) else _shown(tool) for tool in body.tools]


def _text(options: TextOptions | None) -> dict[str, Any]:
    wanted = TextOptions() if options is None else options
    shown: dict[str, Any] = {"format": {"type": "text"}}
    if isinstance(wanted.format, JsonSchemaFormat):
        shown["format"] = wanted.format.model_dump(by_alias=True)
    elif wanted.format is not None:
        shown["format"] = _shown(wanted.format)
    return shown if wanted.verbosity is None else {**shown, "verbosity": wanted.verbosity}


def _shown(model: Any) -> dict[str, Any]:
    fields: dict[str, Any] = model.model_dump(exclude_none=True)
    return fields
