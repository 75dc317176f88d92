"""The events of a response's stream (Open Responses 2026-04-24, "Streaming")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

# All that the specification has, and what OpenAI's own service calls two of them. Never sent: refusals, annotations,
# and `error`, which official clients raise before they read the `response.failed` after it.
EventType = Literal[
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.output_text.annotation.added",
    "response.refusal.delta",
    "response.refusal.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.reasoning.delta",
    "response.reasoning.done",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "error",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
# What OpenAI's clients call the deltas of a rationale. Their helpers end a stream at a name that they do not know, and
# the suite of Open Responses does so at these.
OPENAI_NAMES: Mapping[EventType, EventType] = {
    "response.reasoning.delta": "response.reasoning_text.delta",
    "response.reasoning.done": "response.reasoning_text.done",
}
# Each of OpenAI's clients sends it.
OPENAI_HEADER = "x-stainless-lang"
TERMINAL: frozenset[EventType] = frozenset({"response.completed", "response.failed", "response.incomplete"})


@dataclass(frozen=True)
class ResponseEvent:
    """An event: its kind, its place in the order of the response's events, and its other fields."""

    type: EventType
    sequence_number: int
    fields: Mapping[str, Any]

    def data(self) -> str:
        """The JSON text that a stream or a WebSocket sends."""
        return json.dumps({"type": self.type, "sequence_number": self.sequence_number, **self.fields})
