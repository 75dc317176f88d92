"""Rows of a log with values of other types than their events declare."""

from __future__ import annotations

from typing import Any

import pytest

from alpha_umi.trajectory import CallMade, QuestionAsked, UnknownEvent, pack, unpack

ASKED = pack(QuestionAsked("What is it?", ("look_up",)))[1]
CALLED = pack(CallMade("call_1", "look_up", {"item": "lamp"}, "Action: look_up"))[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction": 5}, "instruction: 5 instead of text"),
        ({"instruction": "\ud800"}, r"instruction: '\ud800' instead of text"),
        ({"tools": "look_up"}, "tools: str instead of a list"),
        ({"tools": ["look_up", None]}, "tools: None instead of text"),
        ({"limits": {"max_steps": 0}}, "limits: max_steps is at least 1"),
        ({"limits": {"max_steps": True}}, "limits: max_steps: True instead of int"),
        ({"limits": {"on_unreadable": "dance"}}, "limits: on_unreadable: 'dance' instead of one of"),
        ({"limits": {"most": 5}}, "limits: there is no field 'most'"),
        ({"limits": None}, "limits: None instead of an object"),
        ({"client_tools": [{"name": "mine", "parameters": []}]}, "client_tools: parameters: [] instead of an object"),
    ],
)
def test_a_question_of_other_types_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownEvent) as caught:
        unpack("trajectory.created", ASKED | change)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": [1]},
        {"arguments": {"a": "\ud800"}},
        {"arguments": {"a": float("nan")}},
        {"latency_ms": 1.5},
        {"truncated": 1},
    ],
)
def test_a_call_of_other_types_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UnknownEvent, match=next(iter(change))):
        unpack("caller.called", CALLED | change)


def test_a_log_of_before_attempts_were_recorded_can_be_read() -> None:
    earlier = {name: value for name, value in CALLED.items() if name != "attempts"}
    event = unpack("caller.called", earlier)
    assert isinstance(event, CallMade)
    assert event.attempts == 0


def test_what_may_be_missing_may_be_nothing() -> None:
    row = {"thought": "t", "next": "conclusion", "answer": None}
    assert pack(unpack("backbone.stepped", row))[1].items() >= row.items()
