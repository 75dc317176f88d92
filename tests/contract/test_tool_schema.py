"""Tool schemas of requests: reduction, and refusals with their place."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

import pytest

from alpha_umi.contract.schema_reduction import MAX_INTEGER, reduce_schema
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema

Json = dict[str, Any]


def of(schema: Any, **definitions: Any) -> Json:
    return {"type": "object", "properties": {"p": schema}, "$defs": definitions}


def reduced(schema: Any, **definitions: Any) -> Any:
    return reduce_schema(of(schema, **definitions))["properties"]["p"]


RANGE = {"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "pattern": "^a", "format": "date", "maxLength": 9}, {"type": "string", "maxLength": 9}),
        ({"type": "integer"}, {"type": "integer", **RANGE}),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            {"type": "integer", "minimum": 1, "maximum": 9},
        ),
        ({"type": "integer", "minimum": 0.5, "maximum": 2.5}, {"type": "integer", "minimum": 1, "maximum": 2}),
        ({"type": "number", "minimum": 1e300, "maximum": 1e301}, None),
        ({"const": 3}, {"enum": [3]}),
        ({"enum": ["a", None]}, {"enum": ["a", None]}),
        ({"type": ["boolean", "null"]}, {"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
        ({"oneOf": [{"type": "boolean"}]}, {"type": "boolean"}),
        ({"$ref": "#/$defs/flag"}, {"type": "boolean"}),
        ({"allOf": [{"$ref": "#/$defs/flag"}]}, {"type": "boolean"}),
        (
            {"type": "array", "items": {"$ref": "#/$defs/flag"}, "maxItems": 2},
            {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
        ),
        (
            {
                "properties": {"a": {"type": "null"}},
                "additionalProperties": {"type": "string"},
                "patternProperties": {".*": {}},
            },
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": [], "additionalProperties": False},
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "null"}}, "required": ["a"]},
                    {"properties": {"b": {"type": "null"}}},
                ],
                "type": "object",
            },
            {
                "type": "object",
                "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_reduced(schema: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(ToolSchemaError, match="no number"):
            reduced(schema, flag={"type": "boolean"})
    else:
        assert reduced(schema, flag={"type": "boolean"}) == expected


@pytest.mark.parametrize("schema", [{}, True, {"description": "anything"}])
def test_untyped_is_a_scalar(schema: Any) -> None:
    assert [option["type"] for option in reduced(schema)["anyOf"]] == ["string", "number", "boolean"]


def test_a_required_property_without_a_schema_is_offered() -> None:
    assert "q" in reduce_schema({"type": "object", "required": ["q"]})["properties"]
    named = {"type": "object", "required": ["q"], "additionalProperties": {"type": "null"}}
    assert reduce_schema(named)["properties"] == {"q": {"type": "null"}}


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {"$ref": {"type": "string"}, "enum": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {}},
        },
        of({"default": {"$ref": "https://example.org"}}),
        of({"type": "string", "pattern": "^(?=a)"}),
        {"$schema": "https://example.org/dialect", "type": "object"},
        of({}, unused={"properties": {"next": {"$ref": "#/$defs/unused"}}}),
    ],
)
def test_what_only_looks_like_a_reference_is_let_pass(schema: Json) -> None:
    check_schema(schema)


def test_all_time_zones_can_be_listed() -> None:
    check_schema(of({"enum": sorted(available_timezones())}))


def test_one_of_several_objects() -> None:
    forms: list[Json] = [{"required": ["a"]}, {"properties": {"b": {"type": "null"}}}]
    assert [form["required"] for form in reduce_schema({"type": "object", "anyOf": forms})["anyOf"]] == [["a"], []]


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": {}}])
def test_no_arguments(schema: Json) -> None:
    check_schema(schema)
    assert reduce_schema(schema)["properties"] == {}


def doubling(depth: int) -> Json:
    """Every definition uses the next one twice: 2 ** depth parts once unfolded."""
    definitions = {
        f"d{i}": {
            "type": "object",
            "properties": {"a": {"$ref": f"#/$defs/d{i + 1}"}, "b": {"$ref": f"#/$defs/d{i + 1}"}},
        }
        for i in range(depth)
    }
    definitions[f"d{depth}"] = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(50)}}
    return of({"$ref": "#/$defs/d0"}, **definitions)


def nested_list(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def deep(depth: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason", "pointer"),
    [
        ({"type": "array"}, "of type 'array'", "/type"),
        (of({"type": "strin"}), "strin", "/properties/p/type"),
        (of({"type": "string", "maxLength": -1}), "-1", "/properties/p/maxLength"),
        (of({"$ref": "https://example.org/s.json"}), "another document", "/properties/p/$ref"),
        (of({"$ref": "file:///etc/passwd"}), "another document", "/properties/p/$ref"),
        (of({"$dynamicRef": "#x"}), "another document", "/properties/p/$dynamicRef"),
        (of({"$ref": "#/$defs/none"}), "refers to nothing", "/properties/p/$ref"),
        (of({"$ref": "#"}), "refers to itself", "/properties/p/$ref"),
        (
            of({"$ref": "#/$defs/tree"}, tree={"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}),
            "refers to itself",
            "/$defs/tree/properties/left/$ref",
        ),
        (doubling(6), "more than 2000 parts", "/properties/p"),
        (deep(12), "nested deeper", "/properties/a"),
        (of({"enum": list(range(1_200))}), "1200 values", "/properties/p/enum"),
        (of({"type": "integer", "minimum": 3, "maximum": 2}), "no number", "/properties/p"),
        ({"type": "object", "properties": {f"p{i}": {} for i in range(200)}}, "200 properties", "/properties"),
        (of({"description": "x" * 100_000}), "bytes", ""),
        (of({"enum": []}), "none of its values", "/properties/p"),
        (of({"type": "string", "minLength": 3, "maxLength": 2}), "minLength 3 is above", "/properties/p"),
        (of({"type": "array", "minItems": 3, "maxItems": 2}), "minItems 3 is above", "/properties/p"),
        (of({"type": "number", "minimum": 1e-30}), "digits after the point", "/properties/p/minimum"),
        (of({"type": "number", "minimum": 1, "exclusiveMaximum": 1}), "no number", "/properties/p"),
        (of({"anyOf": [False]}), "nothing is allowed", "/properties/p/anyOf"),
        (of({"type": "string", "pattern": "("}), "regex", "/properties/p/pattern"),
        (of({"not": {"$ref": "#/$defs/none"}}), "refers to nothing", "/properties/p/not/$ref"),
        (of({"$ref": "#anchor"}), "scope", "/properties/p/$ref"),
        (
            of({"$id": "https://example.org/s", "properties": {"a": {"$ref": "#/properties/p"}}}),
            "itself",
            "/properties/p",
        ),
        (of({"enum": ["\ud800"]}), "UTF-8", ""),
        (of({"minimum": float("nan")}), "not JSON", ""),
        (of({"const": nested_list(200)}), "JSON is nested deeper", ""),
        (of({"const": nested_list(5_000)}), "not JSON", ""),
        (
            of({"$ref": "#/$defs/d0"}, **{f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(1_000)}, d1000={}),
            "lead from one",
            "/$defs/d",
        ),
        (of({"type": "a~b"}, **{"a/b": {"type": "x"}}), "not valid", "/"),
        ({"type": "object", "properties": {"a~b/c": {"type": "strin"}}}, "strin", "/properties/a~0b~1c/type"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "nothing is allowed", "/properties/a"),
        (
            of({"$ref": "#/$defs/loop"}, loop={"allOf": [{"$ref": "#/$defs/loop"}]}),
            "itself",
            "/$defs/loop/allOf/0/$ref",
        ),
    ],
)
def test_refused_with_its_place(schema: Json, reason: str, pointer: str) -> None:
    with pytest.raises(ToolSchemaError, match=reason) as caught:
        check_schema(schema)
    assert caught.value.pointer.startswith(pointer)
    assert caught.value.remedy
