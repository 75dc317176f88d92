"""The items that a response writes: reasoning, calls and the answer (Open Responses 2026-04-24, "Items").

`alpha_umi:tool_call` is an extension: a call that the server made itself, with what it led to.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

ItemStatus = Literal["in_progress", "completed", "incomplete", "failed"]


class ReasoningText(TypedDict):
    """A part of a reasoning item."""

    type: Literal["reasoning_text"]
    text: str


class SummaryText(TypedDict):
    """A part of a reasoning item's summary."""

    type: Literal["summary_text"]
    text: str


class OutputText(TypedDict):
    """A part of a message. There are neither annotations nor log probabilities."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class ReasoningItem(TypedDict):
    """The rationale of a step. `summary` repeats it if the request wants a summary."""

    type: Literal["reasoning"]
    id: str
    status: ItemStatus
    summary: list[SummaryText]
    content: list[ReasoningText]


class FunctionCallItem(TypedDict):
    """A call that the client executes. `arguments` is JSON text."""

    type: Literal["function_call"]
    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str


class ToolCallItem(TypedDict):
    """A call of a registered tool. `arguments` is JSON text; one of `output` and `error` is set once it has ended.

    OpenAI's client for Python reads an item of a type that it does not know as a message, and applications go through
    the `content` of messages, so there is an empty one.
    """

    type: Literal["alpha_umi:tool_call"]
    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    output: str | None
    error: str | None
    content: list[OutputText]


class MessageItem(TypedDict):
    """The answer."""

    type: Literal["message"]
    id: str
    status: ItemStatus
    role: Literal["assistant"]
    content: list[OutputText]


OutputItem = ReasoningItem | FunctionCallItem | ToolCallItem | MessageItem


def output_text(text: str) -> OutputText:
    """The part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning_text(text: str) -> ReasoningText:
    """The part of a reasoning item."""
    return {"type": "reasoning_text", "text": text}


def summary_text(text: str) -> SummaryText:
    """The part of a reasoning item's summary."""
    return {"type": "summary_text", "text": text}
