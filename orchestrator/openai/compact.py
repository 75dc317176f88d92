"""`POST /v1/responses/compact`: compacts a conversation without a model. The same items have the same compaction.

The user's messages stay as they are. The rest becomes one item: answers and calls as they are, results of tools
shortened, without the rationales.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import Response

from alpha_umi.contract.openai.compaction import CompactConversation, CompactedConversation
from alpha_umi.contract.openai.input_items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    InputMessage,
    Reasoning,
    ServerToolCall,
)
from alpha_umi.contract.problems import refusal
from alpha_umi.web.scopes import User
from orchestrator.api.answers import json_response
from orchestrator.api.bodies import BoundedBodyRoute
from orchestrator.assembly import Orchestrator
from orchestrator.openai.compaction import expanded_items, packed
from orchestrator.openai.conversation_input import content_text
from orchestrator.openai.item_documents import item_document
from orchestrator.openai.models import ModelNames
from orchestrator.tools.shorten import shorten_structure
from orchestrator.workers import run_long

# Of one result.
RESULT_BYTES: Final = 2_048
# No model was used.
_USAGE: Final = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """The route over one orchestrator."""
    router = APIRouter(tags=["responses"], route_class=BoundedBodyRoute)
    models = ModelNames(orchestrator)

    @router.post(
        "/v1/responses/compact",
        response_model=CompactedConversation,
        summary="Compact a conversation for further input",
    )
    async def compact(body: CompactConversation, user: User) -> Response:
        models.resolve(body.model)
        orchestrator.admission.count_request(user.owner)
        before: Sequence[InputItem] = ()
        if body.previous_response_id is not None:
            before = await orchestrator.conversations.items_up_to(body.previous_response_id, owner=user.owner)
        return json_response(await run_long(_document, before, body.input or ()))

    return router


def compacted(items: Sequence[InputItem]) -> tuple[list[InputMessage], str]:
    """The user's messages, and the content of the item that stands for all others. Raises `ServiceError`."""
    expanded = [placed.item for placed in expanded_items(items)]
    messages = [item for item in expanded if isinstance(item, InputMessage) and item.role == "user"]
    return messages, packed([entry for item in expanded for entry in _entries(item)], field_name="input")


def _document(before: Sequence[InputItem], given: str | Sequence[InputItem]) -> str:
    items = [InputMessage(role="user", content=given)] if isinstance(given, str) else given
    if not before and not items:
        remedy = "send items, or a `previous_response_id`"
        raise refusal("input", "there is nothing to compact", remedy)
    messages, content = compacted([*before, *items])
    compaction = Compaction(type="compaction", encrypted_content=content)
    output = [item_document(message, f"msg_{uuid.uuid4().hex}") for message in messages]
    output.append(item_document(compaction, f"cmp_{uuid.uuid4().hex}"))
    document = CompactedConversation(
        id=f"compact_{uuid.uuid4().hex}", created_at=int(time.time()), output=output, usage=_USAGE
    )
    return document.model_dump_json()


def _entries(item: InputItem) -> list[dict[str, Any] | None]:
    """What stands for an item."""
    match item:
        case Reasoning():
            return []
        case InputMessage(role="user"):
            return [None]
        case InputMessage():
            return [{"type": "message", "role": item.role, "content": content_text(item.content)}]
        case FunctionCall():
            return [{"type": item.type, "call_id": item.call_id, "name": item.name, "arguments": item.arguments}]
        case FunctionCallOutput():
            return [{"type": item.type, "call_id": item.call_id, "output": _short(content_text(item.output))}]
        case ServerToolCall():
            results = {"output": item.output, "error": item.error}
            short = {name: _short(text) for name, text in results.items() if text is not None}
            return [{"type": item.type, "name": item.name, "arguments": item.arguments, **short}]
        case _:
            detail = "a reference is not compacted"
            raise refusal("input", detail, "send the item itself")


def _short(text: str) -> str:
    return shorten_structure(text, RESULT_BYTES)
