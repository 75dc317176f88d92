"""Tool schemas of requests: what is let pass, and refusals with their place."""

from __future__ import annotations

from typing import Any

import pytest

from alpha_umi.contract.tool_schema import ToolSchemaError, check_answer_schema, check_schema, full_validator

Json = dict[str, Any]
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def of(schema: Any, **definitions: Any) -> Json:
    return {"type": "object", "properties": {"p": schema}, "$defs": definitions}


TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}


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


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (of({"$ref": "#/$defs/tree"}, tree=TREE), {"p": {"left": {"left": {}}}}, {"p": {"left": 3}}),
        (of({"$ref": "#"}), {"p": {"p": {}}}, {"p": {"p": 3}}),
        (of({"type": "array", "items": [{"type": "integer"}]}), {"p": [1, "a"]}, {"p": ["a"]}),
        (
            {"$schema": DRAFT_7, **of({"items": [{"type": "integer"}], "additionalItems": False})},
            {"p": [1]},
            {"p": [1, 2]},
        ),
        ({"$schema": DRAFT_7, **of({"$ref": "#/$defs/any", "type": "null"}, any={})}, {"p": 1}, None),
        (of({"type": "number", "minimum": 1, "exclusiveMinimum": True}), {"p": 1.5}, {"p": 1}),
        (of({"type": "number", "exclusiveMinimum": 1}), {"p": 1.5}, {"p": 1}),
        (of({"type": "string", "pattern": "^[a-z]{1,100000}$"}), {"p": "a"}, {"p": 3}),
        (of({"type": "string", "pattern": r"^[\p{L}\s]{1,20}$"}), {"p": "é"}, {"p": "1"}),
        (of({"type": "string", "pattern": r"^[\p{L}\s]{1,256}$"}), {"p": "1"}, {"p": 1}),
        (of({"type": "string", "pattern": "^.{1,255}$"}), {"p": "a"}, {"p": ""}),
        (of({"type": "string", "pattern": "^(?=b)"}), {"p": "a"}, {"p": 1}),
        # What would be stricter without the pattern is not applied at all.
        (of({"not": {"pattern": "^(?=b)"}, "type": "string"}), {"p": "a"}, {"p": 1}),
        (of({"oneOf": [{"pattern": "^(?=b)"}, {"type": "string"}]}), {"p": "a"}, None),
        (of({"patternProperties": {"^(?=b)": {"type": "null"}}, "additionalProperties": False}), {"p": {"b": 1}}, None),
        ({"properties": {"not": {"type": "string", "pattern": "(?=b)"}}}, {"not": "a"}, {"not": 1}),
        (of({"const": {"pattern": "("}}), {"p": {"pattern": "("}}, {"p": {}}),
        (of({"type": "string", "pattern": r"^(\w{1000}){1000}$", "maxLength": 1}), {"p": "é"}, {"p": "ab"}),
        (of({"enum": [f"{i}" for i in range(20_000)]}), {"p": "19999"}, {"p": "x"}),
        ({"type": ["object", "null"]}, {"a": 1}, None),
    ],
)
def test_read_by_its_draft(schema: Json, good: Any, bad: Any) -> None:
    check_schema(schema)
    assert full_validator(schema).is_valid(good)
    assert bad is None or not full_validator(schema).is_valid(bad)


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": {}}])
def test_no_arguments(schema: Json) -> None:
    check_schema(schema)


def nested_list(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


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
        (of({"description": "x" * 600_000}), "bytes", ""),
        (of({"type": "string", "pattern": "("}), "not a regular expression", "/properties/p/pattern"),
        (of({"not": {"$ref": "#/$defs/none"}}), "refers to nothing", "/properties/p/not/$ref"),
        (of({"$ref": "#anchor"}), "scope", "/properties/p/$ref"),
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


@pytest.mark.parametrize("schema", [{}, {"type": "array", "items": {"type": "integer"}}, {"enum": ["yes", "no"]}, TREE])
def test_an_answer_is_of_any_type(schema: Json) -> None:
    check_answer_schema({**schema, "$defs": {"tree": TREE}})


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "strin"}, "/type"),
        ({"items": {"$ref": "https://example.org/s.json"}}, "/items/$ref"),
        ({"properties": {"a": False}, "required": ["a"]}, "/properties/a"),
    ],
)
def test_the_schema_of_an_answer_is_refused_with_its_place(schema: Json, pointer: str) -> None:
    with pytest.raises(ToolSchemaError) as caught:
        check_answer_schema(schema)
    assert caught.value.pointer == pointer
