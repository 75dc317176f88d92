"""Example arguments made from schemas: valid by the full check, small, and found where a schema allows any."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.openapi_documents import openapi_document

from orchestrator.tools.example import example_arguments
from orchestrator.tools.openapi.provider import OpenApiSource, packed_document, read_operations


def example(schema: Any, **definitions: Any) -> Any:
    """The example of an argument of this schema; "none" if none was found."""
    parameters = {"type": "object", "properties": {"a": schema}, "required": ["a"], "$defs": definitions}
    arguments = example_arguments(parameters)
    if arguments is None:
        return "none"
    assert jsonschema_rs.is_valid(parameters, arguments)
    return arguments["a"]


FILTER = {
    "type": "object",
    "anyOf": [
        {"properties": {"all": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/F"}}}, "required": ["all"]},
        {"properties": {"field": {"type": "string"}}, "required": ["field"]},
    ],
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "default": "day", "enum": ["hour", "day"]}, "day"),
        ({"type": "string", "enum": ["hour", "day"]}, "hour"),
        ({"const": 3}, 3),
        ({"type": "string", "default": 5}, "text"),
        ({"type": "string", "examples": ["Oslo"]}, "Oslo"),
        ({"type": "string", "minLength": 9}, "textxxxxx"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}, "2026-01-31"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "AAA"),
        ({"type": "string", "pattern": "^(acct|cus)_[^/]+$", "minLength": 8}, "acct_aaa"),
        ({"type": "string", "pattern": r"^[^a0A\-_ ]$"}, "1"),
        ({"type": "string", "pattern": r"^\p{L}+$"}, "text"),
        ({"type": "integer", "exclusiveMinimum": 0, "multipleOf": 5}, 5),
        ({"type": "integer", "minimum": -10, "maximum": -3}, -10),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, 0.5),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "integer"}}, [1, 0, 2]),
        (
            {
                "type": "array",
                "minItems": 2,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^(0|[1-9]0*)$"},
            },
            ["0", "10"],
        ),
        ({"type": "array", "minItems": 2, "prefixItems": [{"const": "x"}, {"const": 5}]}, ["x", 5]),
        ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "null"}}, {"key_1": None}),
        ({"allOf": [{"properties": {"x": {"const": 1}}, "required": ["x"]}, {"type": "object"}]}, {"x": 1}),
        ({"not": {"type": "string"}}, 1),
        (True, "text"),
        ({"$ref": "#/$defs/F"}, {"field": "text"}),
        ({"type": "string", "pattern": "^a$", "minLength": 3}, "none"),
        ({"$ref": "#/$defs/Endless"}, "none"),
    ],
)
def test_the_smallest_value_of_a_schema(schema: Any, value: Any) -> None:
    endless = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Endless"}}, "required": ["next"]}
    assert example(schema, F=FILTER, Endless=endless) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ({"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": {}}, {"name": "text"}),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "object", "maxProperties": 0}, None),
        ({"oneOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"not": {}}, None),
    ],
)
def test_a_body_that_is_the_only_argument_is_in_the_example(body: Any, value: Any) -> None:
    expected = {} if value is None else {"body": value}
    assert example_arguments({"type": "object", "properties": {"body": body}}) == expected
    assert example_arguments({"type": "object", "properties": {"body": body, "a": {}}}) == {}


def test_examples_of_the_document_are_used() -> None:
    name = {"type": "string", "example": "Oslo"}
    body = {"required": True, "content": {"application/json": {"schema": {
        "type": "object", "required": ["city", "at"], "properties": {"city": name, "at": {"example": {"x": 1}}},
    }}}}  # fmt: skip
    paths = {"/a": {"post": {"operationId": "a", "requestBody": body, "responses": {}}}}
    document = openapi_document(paths, version="3.0.3")
    source = OpenApiSource(name="s", document=packed_document(document), base_url="http://api.example")
    operations, _ = read_operations(source, json.dumps(document).encode())
    assert example_arguments(operations["a"][0].tool.parameters) == {"city": "Oslo", "at": "text"}


LEAVES = st.sampled_from([
    {"type": "integer", "minimum": 5}, {"type": "string", "maxLength": 2}, {"type": "boolean"}, {"enum": [None, 2]},
])  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda item, fewest: {"type": "array", "items": item, "minItems": fewest}, inner, st.integers(0, 3)),
        st.builds(
            lambda members: {"type": "object", "properties": members, "required": list(members)},
            st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
@settings(deadline=None)
def test_a_schema_that_allows_a_value_has_an_example(schema: Any) -> None:
    assert example(schema) != "none"


def test_only_required_arguments_are_written() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["b"]}
    assert example_arguments(parameters) == {"b": "text"}
    assert example_arguments({"type": "object"}) == {}
