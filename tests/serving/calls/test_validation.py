"""The check of every call against the full schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alpha_umi.roles.turns import Tool
from alpha_umi.serving.calls.validation import CallInvalid, validate_call

SCHEMA = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": "^[A-Z]{2}$"},
        "at": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
    "required": ["code"],
    "additionalProperties": False,
}
TOOLS = [Tool("country_info", "", SCHEMA), Tool("currency_info"), Tool("now", "", {"type": "object"})]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("country_info", {"code": "PT"}),
        ("country_info", {"code": "PT", "at": {"x": 1}}),
        ("currency_info", {}),
        ("now", {}),
    ],
)
def test_right_calls(name: str, arguments: dict[str, Any]) -> None:
    validate_call(name, arguments, TOOLS)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("country_inf", {}, "did you mean country_info"),
        ("weather", {}, "offered are country_info, currency_info, now"),
        ("country_info", {}, "required property"),
        ("country_info", {"code": "pt"}, "country_info: code: "),
        ("country_info", {"code": "PT", "at": {"x": "1"}}, "country_info: at.x: "),
        ("country_info", {"code": "PT", "mood": 1}, "mood"),
        ("currency_info", {"a": 1}, "takes no arguments"),
    ],
)
def test_the_error_names_the_problem(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CallInvalid, match=message):
        validate_call(name, arguments, TOOLS)


def test_a_message_is_bounded() -> None:
    with pytest.raises(CallInvalid) as caught:
        validate_call("country_info", {"code": "x" * 100_000}, TOOLS)
    assert len(str(caught.value)) < 500
    with pytest.raises(CallInvalid) as caught:
        validate_call("y" * 100_000, {}, [Tool(f"tool_{i}") for i in range(100)])
    assert len(str(caught.value)) < 700


def test_a_pattern_cannot_hang_the_check() -> None:
    evil = Tool("t", "", {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    with pytest.raises(CallInvalid):
        validate_call("t", {"a": "a" * 40 + "!"}, [evil])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("\ud83d", "surrogate"),
        ({"\ud83d": 1}, "surrogate"),
        ([1e400], "too large"),
        (10**400, "too large"),
        (json.loads("[" * 50 + "]" * 50), "levels"),
    ],
)
def test_what_no_tool_could_be_sent_is_refused(value: Any, message: str) -> None:
    anything = Tool("t", "", {"type": "object", "properties": {"a": {}}})
    with pytest.raises(CallInvalid, match=message):
        validate_call("t", {"a": value}, [anything])
    validate_call("t", {"a": ["\U0001f600", 10**20, 1e300, None, True]}, [anything])


def test_the_alternatives_of_a_recursive_schema_take_a_bounded_time() -> None:
    """Each level is checked once for each alternative, so that the work doubles."""
    forms = [{"properties": {"a": {"$ref": "#/$defs/d"}}, "required": [name]} for name in "xy"]
    schema = {"properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": {"anyOf": forms}}}
    for depth, reason in ((2, "anyOf"), (30, "nested: the arguments: too many, too long or nested too deeply")):
        arguments: dict[str, Any] = {}
        for _ in range(depth):
            arguments = {"a": arguments}
        with pytest.raises(CallInvalid, match=reason):
            validate_call("nested", arguments, [Tool("nested", "", schema)])
