"""From parameters and bodies to one flat schema, in both versions."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alpha_umi.contract.tool_schema import full_validator
from alpha_umi.roles.turns import tool_line
from orchestrator.tools.errors import DocumentError
from orchestrator.tools.model import EffectClass, LeftOut
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import Bounds, BoundsExceeded, Selection, parse_document
from orchestrator.tools.openapi.request import build_request
from orchestrator.tools.openapi.security import Credentials
from orchestrator.tools.tool_sets import role_tool

Document = Callable[..., dict[str, Any]]
OK = {"200": {"description": "ok"}}


def parse(document: Any, **more: Any) -> list[Operation]:
    return both(document, **more)[0]


def both(document: Any, **more: Any) -> tuple[list[Operation], list[LeftOut]]:
    """Operations, and what was left out."""
    options: dict[str, Any] = {"base_url": None, "default_effect": EffectClass.UNKEYED_WRITE}
    return parse_document(json.dumps(document).encode(), source_name="demo", **options | more)


def only(document: Any, **more: Any) -> Operation:
    (operation,) = parse(document, **more)
    return operation


def parameter(name: str, place: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": schema or {"type": "string"}, "required": place == "path"} | more


def body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}, "required": True} | more


def test_every_place_becomes_one_flat_object(document: Document) -> None:
    post = {
        "operationId": "orders.create",
        "summary": "Place an order.",
        "description": "For one customer.",
        "parameters": [
            parameter("shop", "path", description="The shop's id"),
            parameter("dry_run", "query", {"type": "boolean", "default": False}),
            parameter("tags", "query", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
            parameter("X-Region", "header", {"type": "string", "enum": ["eu", "us"]}, required=True),
        ],
        "requestBody": body(
            {
                "type": "object",
                "required": ["item"],
                "properties": {"item": {"type": "string"}, "count": {"type": "integer", "minimum": 1, "default": 1}},
            }
        ),
        "responses": OK,
    }
    operation = only(document({"/shops/{shop}/orders": {"post": post}}))
    assert operation.tool.name == "orders_create"
    assert operation.tool.description == "Place an order.\nFor one customer."
    assert operation.tool.source == "demo"
    assert operation.tool.parameters == {
        "type": "object",
        "properties": {
            "shop": {"type": "string", "description": "The shop's id"},
            "dry_run": {"type": "boolean", "default": False},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
            "X-Region": {"type": "string", "enum": ["eu", "us"]},
            "item": {"type": "string"},
            "count": {"type": "integer", "minimum": 1, "default": 1},
        },
        "additionalProperties": False,
        "required": ["shop", "X-Region", "item"],
    }
    assert operation.defaults == {}
    assert operation.base_url == "http://api.example/v1"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "array", "items": {"type": "integer"}}, "not an object"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "free names"),
        ({"type": "object", "properties": {"id": {"type": "string"}}}, "a name is taken"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1}, "a rule for the whole"),
        ({"oneOf": [{"type": "string"}, {"type": "object"}]}, "alternatives"),
        ({"type": ["object", "null"], "properties": {"a": {}}}, "null"),
    ],
)
def test_bodies_that_cannot_be_flat_are_one_argument(document: Document, schema: dict[str, Any], why: str) -> None:
    post = {"parameters": [parameter("id", "query")], "requestBody": body(schema), "responses": OK}
    operation = only(document({"/x": {"post": post}}))
    assert list(operation.tool.parameters["properties"]) == ["id", "body"], why
    assert operation.tool.parameters["required"] == ["body"]


MEMBERS = {
    "type": "object",
    "properties": {"note": {"type": "string"}, "size": {"type": ["integer", "null"]}, "tags": {"type": "array"}},
    "required": ["size"],
}
MEMBERS_TEXT = "size (integer, required), note (string), tags (array)"


@pytest.mark.parametrize(
    ("schema", "description"),
    [
        (MEMBERS, f"Members: {MEMBERS_TEXT}"),
        (MEMBERS | {"description": "A part.", "additionalProperties": True}, f"A part. Members: {MEMBERS_TEXT}"),
        ({"$ref": "#/components/schemas/Part"}, f"Members: {MEMBERS_TEXT}"),
        ({"allOf": [MEMBERS, {"properties": {"a": {"type": "number"}}}]}, "Members of the object: size (integer, "
         "required), note (string), tags (array), a (number)"),
        ({"type": "array", "items": MEMBERS}, f"Members of each item: {MEMBERS_TEXT}"),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": MEMBERS}]}, f"Members of each item: {MEMBERS_TEXT}"),
        ({"type": "object", "properties": {"data": MEMBERS}}, f"Members: data (object) with {MEMBERS_TEXT}"),
        ({"oneOf": [MEMBERS, {"properties": {"size": {"type": "integer"}, "b": False}, "required": ["size"]}]},
         f"Members of the object: {MEMBERS_TEXT}"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "boolean"}}, "b": {}}},
         "Members: a (array of boolean), b (any)"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, None),
        ({"type": ["string", "null"], "properties": {"a": {}}}, None),
    ],
)  # fmt: skip
def test_arguments_name_their_members(document: Document, schema: dict[str, Any], description: str | None) -> None:
    post = {"requestBody": body({"type": "object", "properties": {"x": schema}}), "responses": OK}
    operation = only(document({"/x": {"post": post}}, components={"schemas": {"Part": MEMBERS}}))
    assert operation.tool.parameters["properties"]["x"].get("description") == description


def test_prompts_show_the_members_that_fit(document: Document) -> None:
    names = [f"member_{number}" for number in range(100)]
    schema = {
        "type": "object",
        "description": "x" * 1_000,
        "properties": {name: {"type": "string"} for name in names},
        "required": names[-1:],
        "minProperties": 1,
    }
    operation = only(document({"/x": {"post": {"requestBody": body(schema), "responses": OK}}}))
    line = tool_line(role_tool("tool", operation.tool))
    assert "Members: member_99 (string, required), member_0 (string), member_1 (string), " in line
    assert line.endswith(', 91 more"}}')


def test_members_of_recursive_schemas_are_named_once(document: Document) -> None:
    node = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Node"}}}
    post = {"requestBody": body({"type": "array", "items": {"$ref": "#/components/schemas/Node"}}), "responses": OK}
    operation = only(document({"/x": {"post": post}}, components={"schemas": {"Node": node}}))
    description = operation.tool.parameters["properties"]["body"]["description"]
    assert description == "Members of each item: child (object)"


def test_names_that_are_taken_twice_get_their_place(document: Document) -> None:
    get = {"parameters": [parameter("id", "path"), parameter("id", "query"), parameter("body", "query")]}
    post = get | {"requestBody": body({"type": "array"}), "responses": OK}
    operation = only(document({"/x/{id}": {"post": post}}))
    assert list(operation.tool.parameters["properties"]) == ["id", "id_query", "body", "body_request"]
    assert [part.wire_name for part in operation.parameters] == ["id", "id", "body"]


def test_parameters_of_the_path_apply_and_can_be_replaced(document: Document) -> None:
    item = {
        "parameters": [parameter("id", "path"), parameter("n", "query", {"type": "string"})],
        "get": {"parameters": [parameter("n", "query", {"type": "integer"})], "responses": OK},
    }
    properties = only(document({"/x/{id}": item})).tool.parameters["properties"]
    assert properties == {"id": {"type": "string"}, "n": {"type": "integer"}}


def test_references_are_written_out(document: Document) -> None:
    components = {
        "parameters": {"Page": parameter("page", "query", {"$ref": "#/components/schemas/Page"})},
        "schemas": {
            "Page": {"type": "integer", "minimum": 1},
            "Wanted": {"type": "object", "properties": {"p": {"$ref": "#/paths/~1x~1{y}/post/parameters/1/schema"}}},
        },
        "requestBodies": {"B": body({"$ref": "#/components/schemas/Wanted"})},
    }
    post = {
        "parameters": [{"$ref": "#/components/parameters/Page"}, parameter("y", "path", {"type": "integer"})],
        "requestBody": {"$ref": "#/components/requestBodies/B"},
        "responses": OK,
    }
    operation = only(document({"/x/{y}": {"post": post}}, components=components))
    assert operation.tool.parameters["properties"] == {
        "page": {"type": "integer", "minimum": 1},
        "y": {"type": "integer"},
        "p": {"type": "integer"},
    }


@pytest.mark.parametrize(
    ("version", "written", "read"),
    [
        ("3.0.3", {"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            "3.0.3",
            {"type": "string", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            "3.0.3",
            {"allOf": [{"type": "object"}], "nullable": True, "description": "d"},
            {"description": "d", "type": ["object", "null"]},
        ),
        (
            "3.0.3",
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
            {"type": "integer", "exclusiveMinimum": 1, "maximum": 9},
        ),
        ("3.0.3", {"$ref": "#/components/schemas/N", "description": "ignored"}, {"type": "number"}),
        (
            "3.1.0",
            {"$ref": "#/components/schemas/N", "description": "beside"},
            {"type": "number", "description": "beside"},
        ),
        ("3.1.0", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}),
        ("3.1.0", {"allOf": [{"$ref": "#/components/schemas/N"}], "default": 1}, {"type": "number", "default": 1}),
        (
            "3.1.0",
            {"const": 1, "title": "T", "examples": [1, 2], "x-y": 2, "deprecated": True},
            {"const": 1, "examples": [1]},
        ),
        (
            "3.1.0",
            {"$ref": "#/components/schemas/N", "type": "integer"},
            {"allOf": [{"type": "number"}, {"type": "integer"}]},
        ),
    ],
)
def test_schemas_of_both_versions_read_the_same(
    document: Document, version: str, written: dict[str, Any], read: dict[str, Any]
) -> None:
    post = {"requestBody": body({"type": "object", "properties": {"a": written}}), "responses": OK}
    operation = only(
        document({"/x": {"post": post}}, version=version, components={"schemas": {"N": {"type": "number"}}})
    )
    assert operation.tool.parameters["properties"]["a"] == read


def test_read_only_properties_are_not_sent(document: Document) -> None:
    schema = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {"id": {"type": "string", "readOnly": True}, "name": {"type": "string"}},
    }
    post = {"requestBody": body(schema), "responses": OK}
    parameters = only(document({"/x": {"post": post}})).tool.parameters
    assert (list(parameters["properties"]), parameters["required"]) == (["name"], ["name"])


RECURSIVE = {
    "Tree": {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
}
DOUBLED: dict[str, Any] = {"D0": {"type": "string"}} | {
    f"D{n}": {"allOf": [{"$ref": f"#/components/schemas/D{n - 1}"}] * 8, "minLength": 1, "not": {"const": n}}
    for n in range(1, 41)
}
SCHEMAS = {
    "explosive": ({"$ref": "#/components/schemas/D40"}, DOUBLED, "apply to one value"),
    "many parts": ({"properties": {f"p{n}": {} for n in range(20_000)}}, {}, "20000 parts"),
    "many values": ({"enum": list(range(100_000))}, {}, "20000 parts"),
    "large": ({"enum": ["x" * 1_000] * 300}, {}, "262144"),
    "wrong type": ({"type": "strange"}, {}, "not valid"),
    "wrong bound": ({"type": "string", "minLength": -1}, {}, "minimum of 0"),
    "a wrong pattern of names": ({"patternProperties": {"(": {}}}, {}, "not a regular expression"),
    "a deep value": ({"const": json.loads("[" * 70 + "]" * 70)}, {}, "nested deeper than 64"),
    "properties that are none": ({"type": "object", "properties": [1]}, {}, "properties must be an object"),
    "a dynamic reference": ({"$dynamicRef": "#x"}, {}, "not supported"),
    "a recursive reference": ({"$recursiveRef": "#"}, {}, "not supported"),
    "half a surrogate pair": ({"const": "\ud800"}, {}, "surrogate"),
    "NUL": ({"properties": {"\0": {}}}, {}, "NUL"),
}


@pytest.mark.parametrize(("schema", "schemas", "message"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_schemas_that_cannot_be_used_name_where_they_stand(
    document: Document, schema: dict[str, Any], schemas: dict[str, Any], message: str
) -> None:
    schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    post = {"requestBody": body(schema), "responses": OK}
    with pytest.raises(DocumentError, match=message) as caught:
        parse(document({"/x": {"post": post}}, components={"schemas": schemas}))
    assert caught.value.field.startswith(("#/paths/~1x/post", "#/components/schemas"))


def test_a_recursive_answer_does_no_harm(document: Document) -> None:
    answer = {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}}
    get = {"operationId": "tree", "responses": {"200": answer}}
    assert parse(document({"/x": {"get": get}}, components={"schemas": RECURSIVE}))


OPERATIONS = {
    "a style": (
        {"parameters": [parameter("a", "query", style="matrix", required=True)]},
        "style 'matrix' does not exist",
    ),
    "nested values": (
        {"parameters": [parameter("a", "query", {"type": "array", "items": {"type": "object"}}, required=True)]},
        "no form for lists and objects",
    ),
    "content": (
        {"parameters": [{"name": "a", "in": "query", "required": True, "content": {"application/xml": {}}}]},
        "cannot be application/xml",
    ),
    "a name": ({"parameters": [parameter("a b", "header", required=True)]}, "no name of a header"),
    "the host": ({"parameters": [parameter("Host", "header", required=True)]}, "cannot be set"),
    "mixed": ({"requestBody": {"content": {"multipart/mixed": {"schema": {}}}}}, "multipart/mixed"),
    "its own server": ({"servers": [{"url": "ftp://x.example"}]}, "absolute"),
    "an unknown scheme": ({"security": {"nothing": []}}, "not a list"),
    "an unknown effect": ({"x-effect": "none"}, "not an effect"),
}


@pytest.mark.parametrize(("operation", "message"), OPERATIONS.values(), ids=OPERATIONS.keys())
def test_operations_that_cannot_be_offered_are_left_out(
    document: Document, operation: dict[str, Any], message: str
) -> None:
    spec = document({"/x": {"post": operation | {"responses": OK}}, "/fine": {"get": {"responses": OK}}})
    (offered,), (left_out,) = both(spec)
    assert offered.tool.name == "get_fine"
    assert (left_out.name, left_out.operation) == ("post_x", "POST /x")
    assert left_out.field.startswith("#/paths/~1x/post")
    assert re.search(f"{message}.*; ", left_out.reason)


@pytest.mark.parametrize("path", ["/x/../y", "/x/%2e%2e/y", "/x/./y", "/x?y={y}", "/x\\y", "x"])
def test_paths_must_stay_put(document: Document, path: str) -> None:
    with pytest.raises(DocumentError):
        parse(document({path: {"get": {"responses": OK}}}))


def test_parameters_that_cannot_be_sent_are_passed_over(document: Document) -> None:
    names = ["Accept", "Content-Type", "Authorization", "Idempotency-Key", "Cookie", "Host", "no token"]
    nested = {"type": "array", "items": {"type": "object"}}
    parameters = [parameter("a", "query", nested), parameter("s", "cookie")]
    key = {
        "K": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "C": {"type": "apiKey", "in": "cookie", "name": "s"},
    }
    post = {
        "parameters": [*(parameter(name, "header") for name in [*names, "x-key"]), *parameters],
        "security": [{"K": [], "C": []}],
        "responses": OK,
    }
    spec = document({"/x": {"post": post}}, components={"securitySchemes": key})
    assert only(spec).tool.parameters["properties"] == {}


def test_bodies_of_get_are_ignored(document: Document) -> None:
    get = {"requestBody": body({"type": "object", "properties": {"a": {}}}), "responses": OK}
    assert only(document({"/x": {"get": get}})).body is None


@pytest.mark.parametrize(
    ("responses", "answers"),
    [
        (
            {"200": {"content": {"Application/JSON; charset=utf-8": {}, "text/csv": {}}}},
            ("application/json", "text/csv"),
        ),
        ({"201": {"content": {"text/csv": {}}}, "404": {"content": {"text/html": {}}}}, ("text/csv",)),
        ({"2XX": {"content": {"text/csv": {}}}}, ("text/csv",)),
        ({"default": {"content": {"text/csv": {}}}}, ("text/csv",)),
        ({"200": {}, "default": {"content": {"text/csv": {}}}}, ()),
    ],
)
def test_media_types_of_success(document: Document, responses: dict[str, Any], answers: tuple[str, ...]) -> None:
    described = {status: {"description": "d"} | response for status, response in responses.items()}
    assert only(document({"/x": {"get": {"responses": described}}})).answers == answers


def test_names_are_made_when_there_are_none(document: Document) -> None:
    spec = document(
        {
            "/items/{id}": {"get": {"parameters": [parameter("id", "path")], "responses": OK}},
            "/": {"get": {"responses": OK}, "post": {"operationId": "ü ü", "responses": OK}},
            "/long": {"get": {"operationId": "x" * 100, "responses": OK}},
        }
    )
    assert [operation.tool.name for operation in parse(spec)] == ["get_items_id", "get", "post", "x" * 64]


def test_names_that_are_taken_get_a_number(document: Document) -> None:
    names = ["a.b", "a_b", "a_b_2", "a b", "x" * 70, "x" * 64, "x" * 62 + "_2"]
    spec = document({f"/{n}": {"get": {"operationId": name, "responses": OK}} for n, name in enumerate(names)})
    spec["paths"]["/0"]["head"] = {"operationId": "a.b", "responses": OK}
    assert [operation.tool.name for operation in parse(spec)] == [
        *("a_b", "a_b_2", "a_b_3", "a_b_2_2", "a_b_4", "x" * 64, "x" * 62 + "_2", "x" * 62 + "_3")
    ]
    # The selection does not change them.
    assert [each.tool.name for each in parse(spec, selection=Selection(paths=["/3"]))] == ["a_b_4"]


def selectable(document: Document) -> dict[str, Any]:
    return document(
        {
            "/v1/pets": {
                "get": {"operationId": "list.pets", "tags": ["pets"], "responses": OK},
                "post": {"operationId": "add", "tags": ["pets", "writes"], "responses": OK},
            },
            "/v1/pets/old": {"delete": {"operationId": "remove", "tags": None, "responses": OK}},
            "/v1/petshops": {"get": {"operationId": "shops", "tags": ["pets"], "parameters": 7}},
            "/broken": {"$ref": "#/nowhere"},
        }
    )


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ({"operations": ["list.pets", "add"]}, ["list_pets", "add"]),
        ({"operations": ["list_pets"]}, ["list_pets"]),
        ({"tags": ["writes", "none"]}, ["add"]),
        ({"paths": ["/v1/pets"]}, ["list_pets", "add", "remove"]),
        ({"paths": ["/v1/pets/"]}, ["remove"]),
        ({"paths": ["/*/old"]}, ["remove"]),
        ({"methods": ["GET"], "paths": ["/v1/pets"]}, ["list_pets"]),
    ],
)
def test_what_is_not_selected_is_not_looked_at(
    document: Document, selection: dict[str, list[str]], names: list[str]
) -> None:
    operations, left_out = both(selectable(document), selection=Selection(**selection))
    assert ([each.tool.name for each in operations], left_out) == (names, [])


def test_all_that_was_left_out_is_listed(document: Document) -> None:
    operations, left_out = both(selectable(document))
    assert len(operations) == 3
    assert [(each.name, each.operation, each.field) for each in left_out] == [
        ("", "/broken", "#/paths/~1broken"),
        ("shops", "GET /v1/petshops", "#/paths/~1v1~1petshops/get/parameters"),
    ]


def test_a_selection_of_nothing_is_refused(document: Document) -> None:
    with pytest.raises(DocumentError, match=r"no operation 'raed'.*there are read"):
        parse(document(), selection=Selection(operations=["raed"]))
    with pytest.raises(DocumentError, match="no operation matches all"):
        parse(document(), selection=Selection(tags=["x"]))


def test_a_document_of_which_nothing_can_be_offered_is_refused_with_all_reasons(document: Document) -> None:
    bad = {"responses": OK, "x-effect": "none"}
    spec = document({"/a": {"get": bad}, "/b": {"get": bad}, "/c": {"get": {"parameters": [{"$ref": "#/d"}]}}})
    with pytest.raises(DocumentError, match=r"none of the 3.*2 x this is not an effect \(write .*1 x the reference"):
        parse(spec)


@pytest.mark.parametrize(
    ("method", "stated", "trusted", "effect"),
    [
        ("get", None, False, "read"),
        ("head", None, False, "read"),
        ("options", None, False, "read"),
        ("post", None, False, "keyed_write"),
        ("delete", None, False, "keyed_write"),
        ("post", "read", True, "read"),
        ("get", "unkeyed_write", True, "unkeyed_write"),
        # A fetched document may only state a more careful effect class.
        ("post", "read", False, "keyed_write"),
        ("post", "unkeyed_write", False, "unkeyed_write"),
        ("get", "keyed_write", False, "keyed_write"),
    ],
)
def test_effects(document: Document, method: str, stated: str | None, trusted: bool, effect: str) -> None:
    operation = {"responses": OK} | ({} if stated is None else {"x-effect": stated})
    read = only(document({"/x": {method: operation}}), default_effect=EffectClass.KEYED_WRITE, trust_effects=trusted)
    assert read.tool.effect == effect


@pytest.mark.parametrize(
    ("servers", "document_url", "base"),
    [
        ([{"url": "https://api.example/v2/"}], None, "https://api.example/v2"),
        (None, "http://a.example/docs/openapi.json", "http://a.example"),
        ([{"url": "/v1"}], "http://a.example/docs/openapi.json", "http://a.example/v1"),
        ([{"url": "v1"}], "http://a.example/docs/openapi.json", "http://a.example/docs/v1"),
        ([{"url": "http://b.example"}, {"url": "http://a.example/v1"}], "http://a.example/x", "http://a.example/v1"),
        ([{"url": "{p}/v", "variables": {"p": {"default": "http://a.example"}}}], None, "http://a.example/v"),
    ],
)
def test_servers(document: Document, servers: Any, document_url: str | None, base: str) -> None:
    spec = document()
    del spec["servers"]
    spec |= {} if servers is None else {"servers": servers}
    assert only(spec, document_url=document_url).base_url == base


@pytest.mark.parametrize(
    ("servers", "document_url"),
    [
        (None, None),
        ([{"url": "/v1"}], None),
        ([{"url": "http://b.example"}], "http://a.example/openapi.json"),
        ([{"url": "https://a.example"}], "http://a.example/openapi.json"),
        ([{"url": "//b.example/"}], "http://a.example/openapi.json"),
        ([{"url": "file:///etc"}], None),
        ([{"url": "http://user:pw@a.example"}], None),
        ([{"url": "http://a.example?x=1"}], None),
        ([{"url": "http://a.example/a/../b"}], None),
        ([{"url": "http://a.example/%2e%2e/b"}], None),
    ],
)
def test_servers_that_are_refused_unless_the_operator_says_where(
    document: Document, servers: Any, document_url: str | None
) -> None:
    spec = document()
    del spec["servers"]
    spec |= {} if servers is None else {"servers": servers}
    with pytest.raises(DocumentError, match="base_url"):
        parse(spec, document_url=document_url)
    assert only(spec, document_url=document_url, base_url="http://c.example/v1/").base_url == "http://c.example/v1"


KEYS = ["$ref", "in", "name", "type", "schema", "content", "properties", "get", "x"]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("#/paths"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", [1, {}, [{}], ["string", 5]])
def test_a_parameter_whose_type_is_none_is_refused(document: Document, kind: Any) -> None:
    post = {"parameters": [parameter("x", "query", {"type": kind})], "responses": OK}
    with pytest.raises(DocumentError):
        parse(document({"/x": {"post": post}}))


SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "host": "a.example",
    "consumes": ["multipart/form-data"],
    "definitions": {"S": {"properties": {"a": {"$ref": "#/definitions/S"}}}},
    "securityDefinitions": {"K": {"type": "basic"}},
}
FIELDS = [
    {"name": "x", "in": "path", "type": "string", "required": True},
    {"name": "a", "in": "formData", "type": "array", "items": {"type": "file"}, "collectionFormat": "ssv"},
    {"name": "b", "in": "body", "schema": {"$ref": "#/definitions/S"}},
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), version=st.sampled_from(["2.0", "3.0.3", "3.1.0"]))
def test_whatever_stands_in_a_document_nothing_but_a_document_error_comes_out(
    document: Document, data: st.DataObject, version: str
) -> None:
    components = {
        "parameters": {"P": parameter("p", "query", {"$ref": "#/components/schemas/S"})},
        "schemas": {"S": {"type": "object", "allOf": [{"type": "string"}], "properties": {"a": {"readOnly": True}}}},
        "securitySchemes": {"K": {"type": "apiKey", "in": "header", "name": "k"}},
    }
    post = {
        "parameters": [{"$ref": "#/components/parameters/P"}, parameter("x", "path")],
        "requestBody": body({"$ref": "#/components/schemas/S"}),
        "security": [{"K": []}],
        "responses": {"200": {"description": "ok", "content": {"text/plain": {}}}},
    }
    if version == "2.0":
        spec = SWAGGER | {"paths": {"/x/{x}": {"post": {"parameters": FIELDS, "security": [{"K": []}]}}}}
        spec = json.loads(json.dumps(spec))
    else:
        spec = document({"/x/{x}": {"post": post}}, version=version, components=components)
    node: Any = spec
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(node[key], dict | list) and node[key]) or data.draw(st.integers(0, 3)) == 0:
            node[key] = data.draw(PLAIN)
            break
        node = node[key]
    with contextlib.suppress(DocumentError):
        parse(spec)


QUERY = {
    "Query": {
        "type": "object",
        "description": "What to look for.",
        "required": ["text"],
        "properties": {
            "text": {"type": "string"},
            "all_of": {"type": "array", "items": {"$ref": "#/components/schemas/Query"}},
        },
    }
}


def test_recursive_schemas_keep_their_recursion(document: Document) -> None:
    schema = {"type": "object", "properties": {"query": {"$ref": "#/components/schemas/Query"}}}
    post = {"requestBody": body(schema), "responses": OK}
    operation = only(document({"/x": {"post": post}}, components={"schemas": QUERY}))
    query = operation.tool.parameters["properties"]["query"]
    # The prompt shows type and description of each argument.
    described = "What to look for. Members: text (string, required), all_of (array of object)"
    assert query == {"$ref": "#/$defs/Query", "type": "object", "description": described}
    deep: dict[str, Any] = {"text": "a", "all_of": [{"text": "b", "all_of": [{"text": "c"}]}]}
    assert full_validator(operation.tool.parameters).is_valid({"query": deep})
    deep["all_of"][0]["all_of"][0] = {"text": 5}
    assert not full_validator(operation.tool.parameters).is_valid({"query": deep})


def test_a_recursive_body_is_flat(document: Document) -> None:
    post = {"requestBody": body({"$ref": "#/components/schemas/Query"}), "responses": OK}
    parameters = only(document({"/x": {"post": post}}, components={"schemas": QUERY})).tool.parameters
    assert (list(parameters["properties"]), parameters["required"]) == (["text", "all_of"], ["text"])


def test_types_that_refer_to_their_base_and_it_to_them(document: Document) -> None:
    def of(name: str) -> dict[str, str]:
        return {"$ref": f"#/components/schemas/{name}"}

    schemas = {
        "Pet": {"type": "object", "properties": {"name": {"type": "string"}}, "oneOf": [of("Cat"), of("Dog")]},
        "Cat": {"allOf": [of("Pet"), {"properties": {"lives": {"type": "integer"}}}]},
        "Dog": {"allOf": [of("Pet"), {"properties": {"tail": {"type": "boolean"}}}]},
    }
    post = {"requestBody": body({"type": "object", "properties": {"pet": of("Pet")}}), "responses": OK}
    validator = full_validator(only(document({"/x": {"post": post}}, components={"schemas": schemas})).tool.parameters)
    assert validator.is_valid({"pet": {"name": "a", "lives": 9}})
    assert not validator.is_valid({"pet": {"name": 5}})


def test_a_large_schema_that_is_needed_twice_is_written_once(document: Document) -> None:
    schemas = {"Big": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(40)}}}
    schema = {"type": "object", "properties": {name: {"$ref": "#/components/schemas/Big"} for name in "abc"}}
    post = {"requestBody": body(schema), "responses": OK}
    parameters = only(document({"/x": {"post": post}}, components={"schemas": schemas})).tool.parameters
    assert list(parameters["$defs"]) == ["Big"]
    assert parameters["properties"]["c"]["$ref"] == "#/$defs/Big"


def test_what_lies_too_deep_is_left_free(document: Document) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(30):
        schema = {"type": "object", "properties": {"a": schema}, "not": {"required": ["b"]}}
    post = {"requestBody": body(schema | {"required": ["a"]}), "responses": OK}
    operation = only(document({"/x": {"post": post}}))
    value: Any = {"b": 1}
    for _ in range(28):
        value = {"a": value}
    assert full_validator(operation.tool.parameters).is_valid({"body": value})
    assert not full_validator(operation.tool.parameters).is_valid({"body": {"a": {"b": 1}}})


def test_operations_with_equal_arguments_share_their_schema(document: Document) -> None:
    get = {"parameters": [parameter("day", "query")], "responses": OK}
    one, two, other = parse(document({"/x": {"get": get}, "/y": {"get": get}, "/z": {"get": {"responses": OK}}}))
    assert one.tool.parameters is two.tool.parameters
    assert one.tool.parameters != other.tool.parameters


@pytest.mark.parametrize("schema", [{"type": "integer", "default": "null"}, {"enum": ["a"], "default": "b"}])
def test_defaults_that_do_not_fit_are_dropped(document: Document, schema: dict[str, Any]) -> None:
    get = {"parameters": [parameter("height", "query", schema)], "responses": OK}
    operation = only(document({"/x": {"get": get}}))
    assert "default" not in operation.tool.parameters["properties"]["height"]
    assert operation.defaults == {}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"$ref": "#/components/schemas/N", "nullable": True}, {"type": ["number", "null"]}),
        ({"type": "string", "required": True}, {"type": "string"}),
        ({"type": ["string", None], "items": None}, {"type": ["string", "null"]}),
        ({"type": "string", "pattern": "("}, {"type": "string"}),
        ({"type": "string", "pattern": "((a{1000}){1000}){1000}"}, {"type": "string"}),
        ({"type": "file"}, {"type": "string", "format": "binary"}),
        ({"type": "object", "required": ["a", "b", "a"]}, {"type": "object", "required": ["a", "b"]}),
        ({"type": "string", "description": None}, {"type": "string"}),
        ({"type": "array", "items": [{"type": "string"}]}, {"type": "array", "prefixItems": [{"type": "string"}]}),
    ],
)
def test_common_slips_in_schemas_are_passed_over(
    document: Document, written: dict[str, Any], read: dict[str, Any]
) -> None:
    post = {"requestBody": body({"type": "object", "properties": {"a": written}}), "responses": OK}
    spec = document({"/x": {"post": post}}, version="3.0.3", components={"schemas": {"N": {"type": "number"}}})
    assert only(spec).tool.parameters["properties"]["a"] == read


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_exclusive_bounds_of_both_forms_are_read(document: Document, version: str) -> None:
    schemas: list[dict[str, Any]] = [
        {"exclusiveMinimum": 0},
        {"minimum": 0, "exclusiveMinimum": True},
        {"exclusiveMaximum": False},
    ]
    get = {"parameters": [parameter(str(n), "query", each) for n, each in enumerate(schemas)], "responses": OK}
    read = only(document({"/x": {"get": get}}, version=version)).tool.parameters["properties"]
    assert read == {"0": {"exclusiveMinimum": 0}, "1": {"exclusiveMinimum": 0}, "2": {}}


def test_what_no_tool_needs_may_be_wrong(document: Document) -> None:
    get = {"operationId": "a", "tags": None, "responses": {"4xx": 5, "200": {"$ref": "#/none"}, "default": None}}
    spec = document(
        {"/a": {"get": get, "summary": 7}, "x-notes": 3}, info={"version": 1.0}, tags=[{"description": None}]
    )
    assert only(spec | {"components": {"schemas": {"A": {"$ref": "http://x.example"}}}, "externalDocs": 5})


@pytest.mark.parametrize(
    ("responses", "answers"),
    [
        ({"200": ["Application/JSON; charset=utf-8", "text/csv"]}, ("application/json", "text/csv")),
        ({"2XX": ["text/csv"], "400": ["application/json"], "201": ["text/csv"]}, ("text/csv",)),
        ({"default": ["application/xml"], "404": ["text/plain"]}, ("application/xml",)),
        ({"204": []}, ()),
    ],
)
def test_the_forms_of_answers(document: Document, responses: dict[str, list[str]], answers: tuple[str, ...]) -> None:
    nodes: dict[str, Any] = {s: {"content": {name: {} for name in names}} for s, names in responses.items()}
    assert only(document({"/x": {"get": {"responses": nodes}}})).answers == answers


def test_the_fragment_of_a_path_only_tells_operations_apart(document: Document) -> None:
    spec = document({f"/x#{name}": {"get": {"operationId": name, "responses": OK}} for name in ("a", "b")})
    assert [each.path for each in parse(spec)] == ["/x", "/x"]


def test_a_query_in_a_path_is_sent_before_the_parameters(document: Document) -> None:
    get = {"parameters": [parameter("a", "query"), parameter("b", "path")], "responses": OK}
    operation = only(document({"/x/{b}?beta=true&q=a b": {"get": get}}))
    assert operation.path == "/x/{b}?beta=true&q=a%20b"
    urls = [
        build_request(operation, {"b": "?&"} | more, idempotency_key="k", credentials=Credentials()).url
        for more in ({}, {"a": "1"})
    ]
    base = "http://api.example/v1/x/%3F%26?beta=true&q=a%20b"
    assert urls == [base, f"{base}&a=1"]


@pytest.mark.parametrize(
    "more", [{"example": "own"}, {"examples": {"a": {"externalValue": "x"}, "b": {"value": "own"}}}]
)
def test_the_example_of_a_parameter_is_that_of_its_schema(document: Document, more: dict[str, Any]) -> None:
    given = parameter("a", "query", {"type": "string", "example": "other"}, **more)
    schema = only(document({"/x": {"get": {"parameters": [given], "responses": OK}}})).tool.parameters
    assert schema["properties"]["a"] == {"type": "string", "examples": ["own"]}


NOTHING: list[Any] = [
    False,
    {"allOf": [{"type": "string"}, {"enum": []}]},
    {"type": "object", "required": ["a"], "properties": {"b": {}}, "additionalProperties": False},
]


@pytest.mark.parametrize("schema", NOTHING)
def test_arguments_that_no_value_satisfies_are_not_offered(document: Document, schema: Any) -> None:
    both_needed = body({"type": "object", "required": ["a"], "properties": {"a": schema}})
    optional = body({"type": "object", "properties": {"a": schema, "b": {"type": "string"}}})
    paths = {"/x": {"post": {"requestBody": both_needed, "responses": OK}, "put": {"requestBody": optional}}}
    (offered,), (left_out,) = both(document(paths))
    assert [*offered.tool.parameters["properties"]] == ["b"]
    assert "'a' is required, and its schema allows no value" in left_out.reason


@pytest.mark.parametrize("keyword", ["anyOf", "allOf"])
def test_many_references_to_one_schema_are_stopped_before_they_are_followed(document: Document, keyword: str) -> None:
    fields = {f"p{n}": {"type": "string"} for n in range(14)}
    schemas: dict[str, Any] = {
        f"D{n}": {"properties": fields, keyword: [{"$ref": f"#/components/schemas/D{n + 1}"}] * 9} for n in range(10)
    }
    post = {"requestBody": body({"$ref": "#/components/schemas/D0"}), "responses": OK}
    with pytest.raises(DocumentError, match="more than 10000 schemas"):
        parse(document({"/x": {"post": post}}, components={"schemas": schemas | {"D10": {"properties": fields}}}))


def test_optional_parts_that_cannot_be_read_are_left_out_openly(document: Document) -> None:
    broken = {"$ref": "#/components/schemas/None"}
    order = {
        "type": "object",
        "properties": {
            "item": {
                "type": "object",
                "properties": {"size": broken, "name": {"type": "string"}},
                "required": ["name"],
            },
            "other": {"not": {"properties": {"size": broken}}},
            "next": {"$ref": "#/components/schemas/Order"},
        },
    }
    post = {"parameters": [parameter("q", "query", broken)], "requestBody": body(order), "responses": OK}
    bad = body({"type": "object", "properties": {"size": broken}, "required": ["size"]})
    spec = document(
        {"/x": {"post": post, "put": {"requestBody": bad, "responses": OK}}}, components={"schemas": {"Order": order}}
    )
    operations, left_out = both(spec)
    properties = operations[0].tool.parameters["properties"]
    assert properties["item"]["properties"] == {"name": {"type": "string"}}
    assert properties["item"]["required"] == ["name"]
    assert [*properties] == ["item", "other", "next"]
    assert properties["other"] == {}
    assert [each.field.rpartition("/schema/")[2] for each in left_out] == [
        "properties/size",
        "#/paths/~1x/post/parameters/0",
        "properties/item/properties/size",
        "properties/other/not/properties/size",
        "#/components/schemas/Order/properties/item/properties/size",
        "#/components/schemas/Order/properties/other/not/properties/size",
    ]
    assert {each.operation for each in left_out[1:]} == {"POST /x"}
    assert "without this optional part: the reference '#/components/schemas/None' leads nowhere" in left_out[1].reason


@pytest.mark.parametrize(("number", "offered"), [(16, ["post_x"]), (17, [])])
def test_an_operation_without_too_many_parts_is_left_out(document: Document, number: int, offered: list[str]) -> None:
    broken = {f"part_{n}": {"$ref": "#/components/schemas/None"} for n in range(number)}
    post = {
        "requestBody": body({"type": "object", "properties": {"name": {"type": "string"}} | broken}),
        "responses": OK,
    }
    operations, left_out = both(document({"/x": {"post": post}, "/fine": {"get": {"responses": OK}}}))
    assert [each.tool.name for each in operations if each.method == "POST"] == offered
    assert len(left_out) == (number if offered else 1)


def test_what_a_part_that_is_passed_over_shares_stays_complete(document: Document) -> None:
    ref = "#/components/schemas/"
    spec = document({"/x": {"post": {"requestBody": body({"$ref": f"{ref}Root"}), "responses": OK}}}) | {
        "components": {
            "schemas": {
                "Root": {
                    "type": "object",
                    "properties": {"bad": {"$ref": f"{ref}Bad"}, "good": {"$ref": f"{ref}Good"}},
                },
                "Bad": {
                    "type": "object",
                    "required": ["none"],
                    "properties": {
                        "good": {"$ref": f"{ref}Good"},
                        "root": {"$ref": f"{ref}Root"},
                        "again": {"$ref": f"{ref}Bad"},
                        "none": {"$ref": f"{ref}None"},
                    },
                },
                "Good": {
                    "type": "object",
                    "properties": {
                        "bad": {"$ref": f"{ref}Bad"},
                        "good": {"$ref": f"{ref}Good"},
                        "root": {"$ref": f"{ref}Root"},
                        "size": {"type": "integer"},
                    },
                },
            }
        }
    }
    (operation,), left_out = both(spec)
    assert {each.field.rpartition("/")[2] for each in left_out} == {"bad"}
    inside = {"size": 1, "good": {"size": 2, "root": {"good": {"size": 3}}}}
    assert full_validator(operation.tool.parameters).is_valid({"good": inside})
    assert not full_validator(operation.tool.parameters).is_valid({"good": {"good": {"root": {"good": {"size": "3"}}}}})


def test_operations_that_are_references(document: Document) -> None:
    operation = {"operationId": "one", "tags": ["t"], "parameters": [parameter("a", "query")], "responses": OK}
    paths = {"/a": {"get": {"$ref": "#/x-operations/one"}, "post": {"$ref": "one.yml"}, "put": {"$ref": "#/x-none"}}}
    spec = document(paths) | {"x-operations": {"one": operation}}
    operations, left_out = both(spec)
    assert [(each.tool.name, [*each.tool.parameters["properties"]]) for each in operations] == [("one", ["a"])]
    assert [(each.operation, each.field) for each in left_out] == [
        ("PUT /a", "#/paths/~1a/put"),
        ("POST /a", "#/paths/~1a/post/$ref"),
    ]
    assert only(spec, selection=Selection(tags=["t"])).tool.name == "one"


def test_servers_of_operations_and_paths(document: Document) -> None:
    def at(*servers: str) -> dict[str, Any]:
        return {"servers": [{"url": url} for url in servers]}

    paths = {
        "/a": {"get": {"responses": OK} | at("http://up.example/v2")},
        "/b": {"get": {"responses": OK} | at("http://up.example"), "post": {"responses": OK}} | at("http://b.example"),
        "/c": {"get": {"responses": OK} | at("ws://c.example", "http://c.example")},
        "/d": {"get": {"responses": OK} | at()},
    }
    bases = [
        "http://up.example/v2",
        "http://up.example",
        "http://b.example",
        "http://c.example",
        "http://api.example/v1",
    ]
    assert [each.base_url for each in parse(document(paths))] == bases
    # The operator's address replaces them all.
    assert {each.base_url for each in parse(document(paths), base_url="http://o.example")} == {"http://o.example"}
    # A fetched document cannot direct calls to other hosts.
    operations, left_out = both(document(paths), document_url="http://api.example/x.json")
    assert ([each.path for each in operations], len(left_out)) == (["/d"], 4)
    assert all("another origin" in each.reason or "absolute" in each.reason for each in left_out)


def test_the_parts_of_all_operations_are_bounded(document: Document) -> None:
    schema = {"type": "object", "properties": {f"p{n}": {} for n in range(60)}}
    spec = document({f"/{n}": {"post": {"requestBody": body(schema), "responses": OK}} for n in range(4)})
    operations, left_out = both(spec, bounds=Bounds(100, 2**20))
    assert (len(operations), ["more than 100 parts" in each.reason for each in left_out]) == (2, [True, True])
    with pytest.raises(BoundsExceeded):
        both(spec, bounds=Bounds(100, 2**20, strict=True))


def test_patterns_beyond_the_budget_of_a_document_are_counted(document: Document) -> None:
    schemas = [{"type": "string", "pattern": rf"\p{{L}}{{1,{200 + n}}}"} for n in range(8)]
    spec = document(
        {f"/{n}": {"get": {"parameters": [parameter("a", "query", each)]}} for n, each in enumerate(schemas)}
    )
    operations, (left_out,) = both(spec, bounds=Bounds(1_000, 5 * 2**20))
    assert (len(operations), left_out.operation) == (8, "patterns")
    assert left_out.reason.startswith("3 patterns are not checked")
    with pytest.raises(BoundsExceeded):
        both(spec, bounds=Bounds(1_000, 5 * 2**20, strict=True))


def test_paths_and_their_parameters_are_made_to_fit(document: Document) -> None:
    get = {"parameters": [parameter("a", "path"), parameter("none", "path")], "responses": OK}
    operation = only(document({"/x y/{a}/{b c}/\N{LATIN SMALL LETTER U WITH DIAERESIS}%20{": {"get": get}}))
    assert operation.path == "/x%20y/{a}/{b c}/%C3%BC%20%7B"
    assert operation.tool.parameters["properties"] == {"a": {"type": "string"}, "b c": {"type": "string"}}
    assert operation.tool.parameters["required"] == ["a", "b c"]
