"""The independent reading of OpenAPI documents, held to the examples of the specifications; and one small document."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from support.openapi_documents import openapi_document

from benchmarks.documents.reading import Document, Media, Parameter, Unreadable, Written, load
from benchmarks.documents.samples import NoSample, Samples, written
from benchmarks.documents.wire import Body, Expected, Unspecified, differences, expect, expected_body
from benchmarks.openapi import goals, measure

BLUE, COLORS, RGB = "blue", ["blue", "black", "brown"], {"R": 100, "G": 200, "B": 150}
SERVER = "https://api.example.org"
JSON_TYPE = {"content-type": "application/json"}


def parameter(place: str, style: str, explode: bool, name: str = "color") -> Parameter:
    return Parameter(name, place, {}, True, Written(style, explode=explode))


# OpenAPI 3.1.1, Parameter Object, Style Examples; the last two of RFC 6570 (2.3: a list without members is undefined).
@pytest.mark.parametrize(
    ("place", "style", "explode", "value", "text"),
    [
        ("path", "matrix", False, "", ";color"),
        ("path", "matrix", False, BLUE, ";color=blue"),
        ("path", "matrix", False, COLORS, ";color=blue,black,brown"),
        ("path", "matrix", False, RGB, ";color=R,100,G,200,B,150"),
        ("path", "matrix", True, COLORS, ";color=blue;color=black;color=brown"),
        ("path", "matrix", True, RGB, ";R=100;G=200;B=150"),
        ("path", "label", False, BLUE, ".blue"),
        ("path", "label", False, COLORS, ".blue,black,brown"),
        ("path", "label", False, COLORS, ".blue.black.brown"),
        ("path", "label", False, RGB, ".R,100,G,200,B,150"),
        ("path", "label", True, COLORS, ".blue.black.brown"),
        ("path", "label", True, RGB, ".R=100.G=200.B=150"),
        ("path", "simple", False, COLORS, "blue,black,brown"),
        ("path", "simple", False, RGB, "R,100,G,200,B,150"),
        ("path", "simple", True, RGB, "R=100,G=200,B=150"),
        ("path", "simple", False, "50 % ä/b,c", "50%20%25%20%c3%a4%2Fb%2Cc"),
        ("query", "form", False, "", "?color="),
        ("query", "form", False, COLORS, "?color=blue,black,brown"),
        ("query", "form", False, RGB, "?color=R,100,G,200,B,150"),
        ("query", "form", True, COLORS, "?color=blue&color=black&color=brown"),
        ("query", "form", True, RGB, "?R=100&G=200&B=150"),
        ("query", "spaceDelimited", False, COLORS, "?color=blue%20black%20brown"),
        ("query", "spaceDelimited", False, RGB, "?color=R%20100%20G%20200%20B%20150"),
        ("query", "pipeDelimited", False, COLORS, "?color=blue%7Cblack|brown"),
        ("query", "pipeDelimited", False, RGB, "?color=R|100|G|200|B|150"),
        ("query", "deepObject", True, RGB, "?color%5BR%5D=100&color[G]=200&color%5BB%5D=150"),
        ("query", "form", False, ["a,b", "c"], "?color=a%2Cb,c"),
        ("query", "form", True, Decimal("1.10"), "?color=1.10"),
        ("query", "form", True, True, "?color=true"),
        ("query", "form", False, [], ""),
    ],
)
def test_style_examples(place: str, style: str, explode: bool, value: Any, text: str) -> None:
    address = f"{SERVER}/a/{{color}}" if place == "path" else f"{SERVER}/a/"
    expected = expect("GET", address, [(parameter(place, style, explode), value)])
    assert differences(expected, "GET", f"{SERVER}/a/{text}", {}, None) == []


@pytest.mark.parametrize(
    ("explode", "value", "url"),
    [
        (False, ["a,b", "c"], "?color=a,b,c"),
        (True, Decimal("1.10"), "?color=1.1"),
        (True, COLORS, "?color=blue,black,brown"),
        (True, LONG := "123e4567-e89b-12d3-a456-426614174000", f"?color={LONG[:20]}"),
        (True, BLUE, "?color=blue&other=1"),
        (True, BLUE, ""),
    ],
)
def test_what_a_server_reads_otherwise_is_a_difference(explode: bool, value: Any, url: str) -> None:
    expected = expect("GET", f"{SERVER}/a", [(parameter("query", "form", explode), value)])
    assert differences(expected, "GET", f"{SERVER}/a{url}", {}, None)


def test_headers_and_cookies() -> None:
    sent = [(parameter("header", "simple", True), RGB), (parameter("cookie", "form", True, "size"), 7)]
    expected = expect("GET", SERVER, sent, answers=["text/csv"])
    headers = {"color": "R=100, G=200, B=150", "cookie": "size=7", "accept": "text/csv, */*;q=0.1"}
    assert differences(expected, "GET", SERVER, headers, None) == []
    for name, value in (("color", "R,100"), ("cookie", "size=8"), ("accept", "application/json"), ("x-other", "1")):
        assert len(differences(expected, "GET", SERVER, {**headers, name: value}, None)) == 1


def test_nested_values_have_no_form_in_a_query() -> None:
    with pytest.raises(Unspecified):
        expect("GET", SERVER, [(parameter("query", "deepObject", True), {"a": {"b": 1}})])


FORM = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
MULTIPART = (
    '--x\r\ncontent-disposition: form-data; name="title"\r\n\r\nZoë\r\n'
    '--x\r\ncontent-disposition: form-data; name="file"; filename="file"\r\n\r\n\0one\ntwo\r\n'
    '--x\r\ncontent-disposition: form-data; name="meta"\r\ncontent-type: application/json\r\n\r\n{"a": 1}\r\n'
    '--x\r\ncontent-disposition: form-data; name="tag"\r\n\r\na\r\n'
    '--x\r\ncontent-disposition: form-data; name="tag"\r\n\r\nb\r\n--x--\r\n'
)


@pytest.mark.parametrize(
    ("media_type", "value", "content"),
    [
        ("application/json", {"n": Decimal("1.10"), "b": None}, '{"b":null,  "n":1.10}'),
        ("application/vnd.api+json", [], "[]"),
        ("*/*", 1, "1"),
        ("application/x-ndjson", [{"a": 1}, 2], '{"a":1}\n2\n'),
        ("text/plain", "Zoë", "Zoë"),
        ("application/octet-stream", "SGVsbG8=", "Hello"),
        ("application/x-www-form-urlencoded", {"a": ["1 2", "&"], "o": {"k": [1]}}, "o={%22k%22%3A[1]}&a=1+2&a=%26"),
        ("multipart/form-data", {"title": "Zoë", "file": "\0one\ntwo", "meta": {"a": 1}, "tag": ["a", "b"]}, MULTIPART),
    ],
)  # fmt: skip
def test_bodies(media_type: str, value: Any, content: str) -> None:
    expected = Expected("POST", [SERVER], body=expected_body(media_type, Media(FORM, {}), value))
    sent_type = expected.body.media_type + ("; boundary=x" if "multipart" in media_type else "")
    assert differences(expected, "POST", SERVER, {"content-type": sent_type}, content.encode()) == []
    changed = replace(expected, body=Body(expected.body.media_type, expected_body(media_type, Media(FORM, {}), value)))
    assert differences(changed, "POST", SERVER, {"content-type": "text/html"}, content.encode())


@pytest.mark.parametrize("digits", ["1.1", "1.100", "1.10000001", '"1.10"'])
def test_the_digits_of_numbers_make_a_difference(digits: str) -> None:
    expected = Expected("POST", [SERVER], body=Body("application/json", Decimal("1.10")))
    assert differences(expected, "POST", SERVER, JSON_TYPE, digits.encode())


SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-\\d{4,}$"},
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 5000},
        "kind": {"enum": ["a", None]},
        "parent": {"$ref": "#/$defs/node"},
        "free": {"type": "object", "additionalProperties": {"type": "integer"}},
        "shape": {"oneOf": [{"type": "array", "minItems": 2, "items": {"type": "boolean"}}, {"type": "null"}]},
    },
    "required": ["id", "parent"],
    "$defs": {
        "node": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}
    },
}


def test_samples_are_valid_the_same_each_time_and_cover_the_edges() -> None:
    validator = jsonschema_rs.Draft202012Validator(SCHEMA)
    texts = []
    for _ in range(2):
        samples = Samples(SCHEMA, "seed")
        values = [samples.some("minimal"), samples.some("full"), *(samples.some("edge") for _ in range(40))]
        assert all(validator.is_valid(value) for value in values)
        assert values[0].keys() == {"id", "parent"}
        assert values[1].keys() == SCHEMA["properties"].keys()
        texts.append(written(values))
    assert texts[0] == texts[1]
    assert all(part in texts[0] for part in ("null", "[]", '[{"children"', "E-12", "x-m"))
    with pytest.raises(NoSample):
        Samples({"type": "string", "pattern": "(?<name>y)"}, "seed").some("full")


def test_written_samples_keep_their_digits() -> None:
    sample = {"b": Decimal("1.10"), "a": [Decimal("1E-12"), "\0", "ë"]}
    text = written(sample, rng=random.Random(1), indent=2)
    assert json.loads(text, parse_float=str) == {"a": ["1E-12", "\0", "ë"], "b": "1.10"}


def test_swagger_2_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text(
        "swagger: '2.0'\nhost: pets.example.org\nbasePath: /v1\nschemes: [https]\nconsumes: [application/json]\n"
        "securityDefinitions: {key: {type: apiKey, in: query, name: k}}\nsecurity: [{key: []}]\n"
        "paths:\n  /pets/{id}:\n    parameters: [{name: id, in: path, required: true, type: string}]\n    post:\n"
        "      parameters:\n      - {name: tags, in: query, type: array, collectionFormat: pipes}\n"
        "      - {name: photo, in: formData, type: file, required: true}\n      responses: {200: {description: no}}\n"
    )
    document = load(path)
    endpoint = document.endpoints()[0]
    assert document.server(endpoint) == "https://pets.example.org/v1"
    assert [p.written.style for p in document.parameters(endpoint)] == ["scalar", "pipeDelimited"]
    media, required = document.bodies(endpoint)
    assert (list(media), required) == (["multipart/form-data"], True)
    assert [(s.kind, s.wire_name) for each in document.security(endpoint) for s in each] == [("query", "k")]
    assert document.answers(endpoint) == []


def test_operations_by_reference() -> None:
    paths = {"/a": {"get": {"$ref": "#/x-a"}, "put": {"$ref": "other.yml"}}, "/b": {"$ref": "other.yml"}}
    document = Document({"openapi": "3.1.0", "paths": paths, "x-a": {"parameters": [{"name": "q", "in": "query"}]}})
    local, remote = document.endpoints()
    assert [parameter.name for parameter in document.parameters(local)] == ["q"]
    with pytest.raises(Unreadable):
        document.parameters(remote)


def test_schemas_of_requests() -> None:
    root = {
        "openapi": "3.0.3",
        "components": {"schemas": {"Id": {"type": "integer", "readOnly": True}, "Name": {"type": "string"}}},
    }
    node = {
        "type": "object",
        "required": ["id", "n"],
        "properties": {
            "id": {"$ref": "#/components/schemas/Id"},
            "n": {"$ref": "#/components/schemas/Name"},
            "x": {"type": "number", "minimum": 0, "exclusiveMinimum": True, "nullable": True},
        },
    }
    document = Document(root)
    schema = document.schema(node)
    assert schema["required"] == ["n"]
    assert schema["properties"]["x"] == {"type": ["number", "null"], "exclusiveMinimum": 0}
    assert list(document.complete(schema)["$defs"].values()) == [{"type": "string"}]


def test_a_document_of_which_everything_is_equal(tmp_path: Path) -> None:
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
        {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "key", "in": "query", "schema": {"type": "string"}},
    ]
    body = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
    operation = {
        "operationId": "change",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "done", "content": {"application/json": {}}}},
    }
    schemes = {"given": {"type": "apiKey", "in": "query", "name": "key"}}
    components = {"securitySchemes": schemes}
    document = openapi_document({"/things/{id}": {"put": operation}}, security=[{"given": []}], components=components)
    path = tmp_path / "things.json"
    path.write_text(json.dumps(document))
    measured = measure(path)
    assert measured.refused == ""
    assert measured.findings == []
    assert (measured.tools, measured.counts["requests"], measured.counts["equal"]) == (1, 5, 5)
    assert measured.counts["calls"] == measured.counts["written"] == 10
    assert measured.counts["invalid"] > 5
    assert measured.counts["let pass"] == 0
    assert goals([measured])[0]["measured"] == "1 of 1"
