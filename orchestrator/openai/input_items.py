"""Reads the items of a Responses request as a conversation. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from alpha_umi.contract.openai.input_items import (
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    InputMessage,
    Reasoning,
    ServerToolCall,
)
from orchestrator.openai.compaction import expanded_items
from orchestrator.openai.conversation_input import SuppliedConversation, content_text


def supplied_conversation(
    items: str | Sequence[InputItem], *, before: Sequence[InputItem] = (), field_name: str = "input"
) -> SuppliedConversation:
    """The conversation of some items; a text is a message of the user. References are resolved before.

    `before` are the items of a stored conversation that stand before those of the request. Raises `ServiceError` for a
    call or an output that is there twice, and for arguments that are no JSON object.
    """
    conversation = SuppliedConversation(field_name)
    for place, item in expanded_items(before, field_name="conversation"):
        _add(conversation, item, place)
    if isinstance(items, str):
        conversation.user(items)
        return conversation
    for place, item in expanded_items(items, field_name=field_name):
        _add(conversation, item, place)
    return conversation


def _add(conversation: SuppliedConversation, item: InputItem, place: str) -> None:
    match item:
        case InputMessage(role="user"):
            conversation.user(content_text(item.content))
        case InputMessage(role="assistant"):
            conversation.assistant(content_text(item.content))
        case InputMessage():
            conversation.instruct(content_text(item.content))
        case Reasoning():
            text = "\n\n".join(part.text for part in item.content or item.summary)
            if text:
                conversation.rationale(text)
        case FunctionCall():
            conversation.call(item.call_id, item.name, item.arguments, place=place)
        case FunctionCallOutput():
            conversation.output(item.call_id, content_text(item.output), place=place)
        case ServerToolCall():
            # Its result comes with it.
            conversation.call(place, item.name, item.arguments, place=place)
            conversation.output(place, item.output or item.error or "", place=place)
        case _:
            raise AssertionError(f"{type(item).__name__} is resolved before the conversation is read")
