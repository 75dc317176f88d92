"""Checks of a response's stream: the order of its events, and what a client makes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TERMINAL = ("response.completed", "response.incomplete", "response.failed")
# Kinds of deltas, and the field of their end with the complete text.
TEXTS = {
    "response.reasoning": "text",
    "response.reasoning_text": "text",
    "response.output_text": "text",
    "response.reasoning_summary_text": "text",
    "response.function_call_arguments": "arguments",
}


def without_times(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events without times and random ids, as two runs of one script have them."""
    text = re.sub(r"[0-9a-f]{32}", "ID", json.dumps(events))
    events_without: list[dict[str, Any]] = json.loads(re.sub(r'"(created_at|completed_at)": [0-9.]+', r'"\1": 0', text))
    return events_without


def check_stream(events: Sequence[Mapping[str, Any]], *, exact_deltas: bool = True) -> dict[str, Any]:
    """The final response of a complete stream, whose order and numbers are those of the specification.

    With `exact_deltas`, the deltas of each text join to the text at its end.
    """
    kinds = [event["type"] for event in events]
    numbers = [event["sequence_number"] for event in events]
    assert numbers == sorted(set(numbers)), numbers
    assert [kind for kind in kinds if kind == "response.created"] == kinds[:1], kinds
    assert [kind for kind in kinds if kind in TERMINAL] == kinds[-1:], kinds
    assert kinds.count("response.in_progress") <= 1, kinds
    items = _items([event for event in events if "response" not in event], exact_deltas=exact_deltas)
    final: dict[str, Any] = events[-1]["response"]
    assert final["output"] == items
    assert events[-1]["type"] == f"response.{final['status'].replace('cancelled', 'incomplete')}"
    assert {event["response"]["id"] for event in events if "response" in event} == {final["id"]}
    return final


def _items(events: Sequence[Mapping[str, Any]], *, exact_deltas: bool) -> list[dict[str, Any]]:
    """The closed items. One is open at a time, and so is one part of it."""
    items: list[dict[str, Any]] = []
    opened: Mapping[str, Any] | None = None
    part: Mapping[str, Any] | None = None
    text = ""
    for event in events:
        kind = event["type"]
        assert event["output_index"] == len(items), event
        if kind == "response.output_item.added":
            assert opened is None, event
            opened, text = event["item"], ""
            assert opened["status"] == "in_progress"
            continue
        assert opened is not None, event
        if kind == "response.output_item.done":
            assert part is None
            assert (event["item"]["id"], event["item"]["type"]) == (opened["id"], opened["type"])
            assert event["item"]["status"] != "in_progress"
            items.append(event["item"])
            opened = None
            continue
        assert event["item_id"] == opened["id"], event
        if kind.endswith("_part.added"):
            assert part is None
            assert event["part"]["text"] == ""
            part, text = event["part"], ""
        elif kind.endswith("_part.done"):
            assert part is not None
            assert event["part"]["type"] == part["type"]
            part = None
        elif kind.endswith(".delta"):
            assert event["delta"]
            text += event["delta"]
        else:
            complete = event[TEXTS[kind.removesuffix(".done")]]
            assert text == complete or not exact_deltas, (text, complete)
    assert opened is None
    return items
