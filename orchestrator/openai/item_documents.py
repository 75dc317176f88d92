"""Items that a client sent, as they are stored and shown: with an id, a status and content parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpha_umi.contract.openai.input_items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    InputMessage,
    Reasoning,
    ServerToolCall,
)

_PREFIXES: Mapping[type, str] = {
    InputMessage: "msg_",
    FunctionCall: "fc_",
    FunctionCallOutput: "fco_",
    Reasoning: "rs_",
    ServerToolCall: "tc_",
    Compaction: "cmp_",
}


def id_prefix(item: InputItem) -> str:
    """The beginning of an id of such an item."""
    return _PREFIXES[type(item)]


def item_document(item: InputItem, item_id: str) -> dict[str, Any]:
    """The item under this id. It can be sent as an input item again. References must have been resolved."""
    fields = item.model_dump(exclude_none=True) | {"id": item_id}
    match item:
        case InputMessage():
            fields["content"] = [_part(part, item.role) for part in _parts(fields["content"])]
            return {**fields, "status": fields.get("status", "completed")}
        case FunctionCall() | FunctionCallOutput() | ServerToolCall():
            return {"status": "completed", **fields}
        case Reasoning() | Compaction():
            return fields
        case _:
            raise AssertionError(f"{type(item).__name__} is resolved before it is stored")


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: dict[str, Any], role: str) -> dict[str, Any]:
    """The part as the schema of the role's messages has it."""
    match part["type"]:
        case "text" | "input_text" | "output_text" if role == "assistant":
            return {"annotations": [], "logprobs": [], **part, "type": "output_text"}
        case "text" | "input_text" | "output_text":
            return {"type": "input_text", "text": part["text"]}
        case "input_image":
            return {"image_url": None, "detail": "auto", **part}
        case _:
            return part
