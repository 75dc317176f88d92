"""Items of a conversation as clients send them to the Responses interface (Open Responses 2026-04-24, `ItemParam`).

Each item that the server answers with may be sent back as it is. What no role model can use is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alpha_umi.contract.client_turns import MAX_CALL_ID_CHARACTERS
from alpha_umi.contract.openai.request_model import RequestModel, by_type, text_or_parts, type_of
from alpha_umi.contract.openai.tools import FUNCTION_NAME
from alpha_umi.contract.roles import MAX_TURN_CHARACTERS, MAX_TURNS
from alpha_umi.roles.turns import NAME_CHARACTERS

TOOL_CALL = "alpha_umi:tool_call"

Text = Annotated[str, Field(max_length=MAX_TURN_CHARACTERS)]
ItemId = Annotated[str, Field(min_length=1, max_length=128)]
CallId = Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_CHARACTERS)]
ItemStatus = Literal["in_progress", "completed", "incomplete", "failed"]
# Of a file or an image, which is not read.
Data = Annotated[str, Field(max_length=33_554_432)]


class TextPart(RequestModel):
    """Text of any speaker. Annotations and log probabilities come with what a server wrote: they are left out."""

    type: Literal["input_text", "output_text", "text"]
    text: Text
    annotations: list[Any] | None = Field(default=None, exclude=True)
    logprobs: list[Any] | None = Field(default=None, exclude=True)


class RefusalPart(RequestModel):
    """A refusal that an assistant wrote."""

    type: Literal["refusal"]
    refusal: Text


class ImagePart(RequestModel):
    """An image: accepted, and named in the history as not read."""

    type: Literal["input_image"]
    image_url: Data | None = None
    file_id: ItemId | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None


class FilePart(RequestModel):
    """A file: accepted, and named in the history as not read."""

    type: Literal["input_file"]
    filename: Annotated[str, Field(max_length=256)] | None = None
    file_id: ItemId | None = None
    file_data: Data | None = None
    file_url: Data | None = None
    detail: Literal["auto", "low", "high"] | None = None


ContentPart = Annotated[
    Annotated[TextPart, Tag("(text)")]
    | Annotated[RefusalPart, Tag("(refusal)")]
    | Annotated[ImagePart, Tag("(input_image)")]
    | Annotated[FilePart, Tag("(input_file)")],
    by_type("text", "refusal", "input_image", "input_file", like={"input_text": "text", "output_text": "text"}),
]


Content = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[list[ContentPart], Tag("(parts)")], Discriminator(text_or_parts)
]


class InputMessage(RequestModel):
    """A message of any speaker."""

    type: Literal["message"] = "message"
    id: ItemId | None = None
    status: ItemStatus | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(RequestModel):
    """A call of a tool that the client executes."""

    type: Literal["function_call"]
    id: ItemId | None = None
    status: ItemStatus | None = None
    call_id: CallId
    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS, pattern=FUNCTION_NAME)]
    arguments: Text


class FunctionCallOutput(RequestModel):
    """What the client's tool returned."""

    type: Literal["function_call_output"]
    id: ItemId | None = None
    status: ItemStatus | None = None
    call_id: CallId
    name: Annotated[str, Field(max_length=NAME_CHARACTERS)] | None = None
    output: Content


class ReasoningText(RequestModel):
    """A part of a rationale."""

    type: Literal["summary_text", "reasoning_text"]
    text: Text


class Reasoning(RequestModel):
    """A rationale. It is read from `content`, else from `summary`."""

    type: Literal["reasoning"]
    id: ItemId | None = None
    status: ItemStatus | None = None
    summary: list[ReasoningText] = Field(default_factory=list)
    content: list[ReasoningText] | None = None
    encrypted_content: Text | None = None


class ServerToolCall(RequestModel):
    """A call that the server made, with its result."""

    type: Literal["alpha_umi:tool_call"]
    id: ItemId | None = None
    status: ItemStatus | None = None
    call_id: CallId | None = None
    name: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\n]+$")]
    arguments: Text
    output: Text | None = None
    error: Text | None = None
    content: Annotated[list[Any], Field(max_length=0)] | None = None


class Compaction(RequestModel):
    """A compacted conversation, as `POST /v1/responses/compact` returns it."""

    type: Literal["compaction"]
    id: ItemId | None = None
    encrypted_content: Annotated[str, Field(max_length=10_485_760)]


class ItemReference(RequestModel):
    """An item that the server has stored, by its id."""

    type: Literal["item_reference"] = "item_reference"
    id: ItemId


_ITEMS = {
    "message": "(message)",
    "function_call": "(call)",
    "function_call_output": "(output)",
    "reasoning": "(reasoning)",
    TOOL_CALL: "(servercall)",
    "compaction": "(compaction)",
    "item_reference": "(reference)",
}


def _item_tag(item: Any) -> str | None:
    kind = type_of(item)
    if kind is None and isinstance(item, dict):
        kind = "message" if "role" in item else "item_reference"
    return _ITEMS.get(kind) if isinstance(kind, str) else None


InputItem = Annotated[
    Annotated[InputMessage, Tag("(message)")]
    | Annotated[FunctionCall, Tag("(call)")]
    | Annotated[FunctionCallOutput, Tag("(output)")]
    | Annotated[Reasoning, Tag("(reasoning)")]
    | Annotated[ServerToolCall, Tag("(servercall)")]
    | Annotated[Compaction, Tag("(compaction)")]
    | Annotated[ItemReference, Tag("(reference)")],
    Discriminator(
        _item_tag,
        custom_error_type="unsupported_type",
        custom_error_message=f"the type of an item must be one of {', '.join(_ITEMS)}",
    ),
]


def _input_tag(value: Any) -> str:
    return "(text)" if isinstance(value, str) else "(items)"


# The field `input` of a request.
Input = Annotated[
    Annotated[Text, Tag("(text)")]
    | Annotated[list[InputItem], Field(max_length=MAX_TURNS, fail_fast=True), Tag("(items)")],
    Discriminator(_input_tag),
]
