"""Events as JSON: what is read back, and what is refused."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest

from alpha_umi.trajectory import (
    EVENT_TYPES,
    CallMade,
    Event,
    TrajectoryCreated,
    UnknownEvent,
    dump_event,
    parse_event,
)

CREATED = dump_event(TrajectoryCreated("What is it?", ("look_up",)))
CALLED = dump_event(CallMade("call_1", "look_up", {"item": "lamp"}, "Action: look_up"))


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len(set(EVENT_TYPES)) == len(get_args(Event))
    for kind in get_args(Event):
        assert fields(kind)[[item.name for item in fields(kind)].index("type")].default in EVENT_TYPES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction": 5}, "instruction: Input should be a valid string"),
        ({"instruction": "\ud800"}, "surrogate"),
        ({"tools": "look_up"}, "tools: Input should be a valid"),
        ({"tools": ["look_up", None]}, "tools.1: Input should be a valid string"),
        ({"limits": {"max_steps": 0}}, "limits: Value error, max_steps is at least 1"),
        ({"limits": {"max_steps": True}}, "limits.max_steps: Input should be a valid integer"),
        ({"limits": {"on_unreadable": "dance"}}, "limits.on_unreadable: Input should be 'conclusion'"),
        ({"limits": {"most": 5}}, "limits.most: Unexpected keyword argument"),
        ({"limits": None}, "limits: Input should be"),
        ({"client_tool_definitions": [{"name": "mine", "parameters": []}]}, "client_tool_definitions.0.parameters: "),
        ({"client_tools": []}, "client_tools: Unexpected keyword argument"),
        ({"type": "trajectory.dreamt"}, "no event of this version is called 'trajectory.dreamt': read it with"),
        ({"type": None}, "no event of this version is called None"),
    ],
)
def test_an_event_of_other_types_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownEvent) as caught:
        parse_event(CREATED | change)
    assert message in str(caught.value)


def test_arguments_that_are_nested_too_deeply_are_refused() -> None:
    nested: Any = {}
    for _ in range(300):
        nested = {"a": nested}
    with pytest.raises(UnknownEvent, match=r"caller\.called.*it is nested too deeply"):
        parse_event(CALLED | {"arguments": nested})


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": [1]},
        {"arguments": {"a": "\ud800"}},
        {"arguments": {"a": float("nan")}},
        {"arguments": {"a": float("inf")}},
        {"latency_ms": 1.5},
        {"latency_ms": "1"},
        {"truncated": 1},
        {"usage": None},
    ],
)
def test_a_call_of_other_types_is_refused(change: dict[str, Any]) -> None:
    for lenient in (False, True):
        with pytest.raises(UnknownEvent, match=r"caller\.called"):
            parse_event(CALLED | change, ignore_unknown_fields=lenient)


def test_context_beside_the_fields_of_an_event_is_for_streams_only() -> None:
    assert parse_event(CALLED | {"step": 3}, ignore_unknown_fields=True) == parse_event(CALLED)
    with pytest.raises(UnknownEvent, match="step: Unexpected keyword argument"):
        parse_event(CALLED | {"step": 3})


def test_a_log_of_before_attempts_were_recorded_can_be_read() -> None:
    earlier = {name: value for name, value in CALLED.items() if name != "attempts"}
    event = parse_event(earlier)
    assert isinstance(event, CallMade)
    assert event.attempts == 0


def test_what_may_be_missing_may_be_null() -> None:
    row = {"type": "backbone.stepped", "thought": "t", "next": "conclusion", "answer": None}
    assert dump_event(parse_event(row)).items() >= row.items()
