"""Bodies of every media type, read back by independent decoders."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import UploadFile
from starlette.requests import Request

from orchestrator.tools.errors import ArgumentError, DocumentError
from orchestrator.tools.numbers import read_json
from orchestrator.tools.openapi.bodies import write_body
from orchestrator.tools.openapi.schema import SchemaReader, compile_schema
from orchestrator.tools.openapi.signature import MAX_ARGUMENTS, ArgumentSchema

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
TEXT = {"type": "string"}


def signature(content: dict[str, Any], *, version: str = "3.1.0", **more: Any) -> ArgumentSchema:
    root = {"openapi": version}
    arguments = ArgumentSchema(root, SchemaReader(root, "3.0" if version.startswith("3.0") else "3.1"))
    arguments.add_body({"content": content, "required": True} | more, "#/requestBody", method="post")
    return arguments


def sent(content: dict[str, Any], arguments: dict[str, Any], **more: Any) -> tuple[str, bytes]:
    read = signature(content, **more)
    assert read.body is not None
    compile_schema(read.schema, "#").validate(arguments)
    body = write_body(read.body, arguments)
    assert body is not None
    return body


def properties(**named: Any) -> dict[str, Any]:
    return {"type": "object", "properties": named}


async def parts(body: tuple[str, bytes]) -> list[tuple[str, str | None, str | None, str]]:
    """Name, file name, content type and content of each part, as Starlette reads them; text parts have no type."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body[1], "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", body[0].encode())]}
    read: list[tuple[str, str | None, str | None, str]] = []
    async with Request(scope, receive).form() as form:
        for name, item in form.multi_items():
            if isinstance(item, UploadFile):
                read.append((name, item.filename, item.content_type, (await item.read()).decode()))
            else:
                read.append((name, None, None, item))
    return read


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([FORM, "application/json"], "application/json"),
        (["text/plain", MULTIPART, FORM], FORM),
        (["text/plain", MULTIPART], MULTIPART),
        (["application/pdf", "text/csv"], "text/csv"),
        (["application/pdf", "application/octet-stream"], "application/pdf"),
        (["multipart/mixed", "application/merge-patch+json"], "application/merge-patch+json"),
        (["application/json; charset=utf-8"], "application/json; charset=utf-8"),
        (["*/*"], "application/json"),
        (["text/*"], "text/plain"),
        (["image/*"], "application/octet-stream"),
    ],
)
def test_the_media_type_that_is_chosen(offered: list[str], chosen: str) -> None:
    body = signature({name: {"schema": {"type": ["string", "object"]}} for name in offered}).body
    assert body is not None
    assert body.media_type == chosen


def test_media_types_without_a_form_are_named() -> None:
    with pytest.raises(DocumentError, match="multipart/mixed"):
        signature({"multipart/mixed": {"schema": {}}})
    with pytest.raises(DocumentError, match="must be an object"):
        signature({FORM: {"schema": {"type": "array"}}})


def test_json_keeps_digits_and_null() -> None:
    schema = properties(a={}, due={"type": ["string", "null"]})
    written = '{"a":[1.10,1e-12,12345678901234567890.123,123456789012345678901234567890,-0.0],"due":null}'
    body = signature({"application/json": {"schema": schema}}).body
    assert body is not None
    assert write_body(body, read_json(written)) == ("application/json", written.encode())


@pytest.mark.parametrize("required", [True, False])
def test_a_body_without_properties(required: bool) -> None:
    body = signature({"application/json": {"schema": properties(a=TEXT)}}, required=required).body
    assert body is not None
    assert write_body(body, {}) == (("application/json", b"{}") if required else None)


def test_composed_objects_become_arguments() -> None:
    schema = {
        "allOf": [properties(a=TEXT) | {"required": ["a"]}, {"allOf": [properties(b={"type": "integer"})]}],
        "properties": {"c": TEXT},
    }
    read = signature({"application/json": {"schema": schema}})
    assert (sorted(read.properties), read.required) == (["a", "b", "c"], ["a"])


@pytest.mark.parametrize(
    "schema",
    [
        properties(a=TEXT) | {"required": ["b"]},
        properties(a=TEXT) | {"additionalProperties": {}},
        {"allOf": [properties(a=TEXT) | {"additionalProperties": False}, properties(b=TEXT)]},
        {"allOf": [properties(a=TEXT), properties(a={"type": "integer"})]},
        properties(**{f"p{n}": TEXT for n in range(MAX_ARGUMENTS + 1)}),
    ],
)
def test_other_objects_are_one_argument(schema: dict[str, Any]) -> None:
    assert list(signature({"application/json": {"schema": schema}}).properties) == ["body"]


def test_only_required_arguments_are_filled_with_their_default() -> None:
    schema = properties(a={"type": "integer", "default": 1}, b={"type": "integer", "default": 2}) | {"required": ["b"]}
    read = signature({"application/json": {"schema": schema}})
    assert (read.defaults, read.required) == ({"b": 2}, [])


def test_a_form_as_the_specification_shows_it() -> None:
    address = {"streetAddress": "123 Example Dr.", "city": "Somewhere", "state": "CA", "zip": "99999+1234"}
    body = sent({FORM: {"schema": properties(id=TEXT, address={"type": "object"})}}, {"id": "f81d", "address": address})
    assert body[0] == FORM
    assert body[1].startswith(b"id=f81d&address=%7B%22streetAddress%22%3A%22123+Example+Dr.%22%2C")
    assert dict(parse_qsl(body[1].decode())) == {
        "id": "f81d",
        "address": json.dumps(address, separators=(",", ":")),
    }


@pytest.mark.parametrize(
    ("encoding", "content", "wire"),
    [
        ({}, ["a b", "c"], "p=a+b&p=c"),
        ({"style": "form", "explode": False}, ["a", "c"], "p=a,c"),
        ({"style": "deepObject"}, {"gte": 1, "in": ["x"]}, "p%5Bgte%5D=1&p%5Bin%5D%5B0%5D=x"),
        ({"style": "pipeDelimited"}, ["a", "c"], "p=a%7Cc"),
        ({"explode": True}, {"R": 1}, "R=1"),
        ({"allowReserved": True}, "a/b", "p=a/b"),
        ({"contentType": "application/json"}, ["a"], "p=%5B%22a%22%5D"),
        ({"contentType": "application/json"}, "a", "p=%22a%22"),
    ],
)
def test_encodings_of_a_form(encoding: dict[str, Any], content: Any, wire: str) -> None:
    media = {"schema": properties(p={}), "encoding": {"p": encoding}}
    assert sent({FORM: media}, {"p": content})[1].decode() == wire


def test_a_form_of_free_names() -> None:
    free = {"type": "object", "additionalProperties": TEXT}
    assert sent({FORM: {"schema": free}}, {"body": {"a&b": "c=d"}})[1] == b"a%26b=c%3Dd"


def test_null_in_a_form_is_refused() -> None:
    with pytest.raises(ArgumentError, match="'p' holds null"):
        sent({FORM: {"schema": properties(p={})}}, {"p": None})


async def test_multipart() -> None:
    schema = properties(
        title=TEXT,
        count={"type": "integer"},
        address={"type": "object"},
        tags={"type": "array", "items": TEXT},
        file={"type": "string", "format": "binary"},
        photo={"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"},
        notes={"type": "array", "items": {}},
        page=TEXT,
    )
    media = {"schema": schema, "encoding": {"page": {"contentType": "text/html"}, "count": {"contentType": "a/*"}}}
    arguments = {
        "title": "ü",
        "count": 3,
        "address": {"city": "Oslo"},
        "tags": ["a", "b"],
        "file": "line 1\r\nline 2",
        "photo": "iVBORw0=",
        "notes": ["x"],
        "page": "<p>",
    }
    body = sent({MULTIPART: media}, arguments)
    assert await parts(body) == [
        ("title", None, None, "ü"),
        ("count", None, None, "3"),
        ("address", None, None, '{"city":"Oslo"}'),
        ("tags", None, None, "a"),
        ("tags", None, None, "b"),
        ("file", "file", "application/octet-stream", "line 1\r\nline 2"),
        ("photo", "photo", "image/png", "iVBORw0="),
        ("notes", "notes", "application/octet-stream", "x"),
        ("page", None, None, "<p>"),
    ]
    assert b"Content-Type: application/json\r\n\r\n{" in body[1]
    assert b"Content-Type: text/html\r\n\r\n<p>" in body[1]
    assert sent({MULTIPART: media}, arguments) == body


def test_a_property_without_type_is_text_in_version_3_0() -> None:
    assert b"filename" not in sent({MULTIPART: {"schema": properties(a={})}}, {"a": "x"}, version="3.0.3")[1]


@settings(deadline=None)
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text('\r\n-=ab1é"'), max_size=3)
)
async def test_any_multipart_text_is_read_back(members: dict[str, str]) -> None:
    free = {"type": "object", "additionalProperties": TEXT}
    body = sent({MULTIPART: {"schema": free}}, {"body": members})
    escaped = {
        name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22"): text for name, text in members.items()
    }
    if not any("\\" in name for name in members):
        assert {name: content for name, _, _, content in await parts(body)} == escaped


@pytest.mark.parametrize(
    ("media_type", "schema", "argument", "content"),
    [
        ("text/plain", TEXT, "héllo", "héllo".encode()),
        ("text/plain; charset=iso-8859-1", TEXT, "é", b"\xe9"),
        ("text/plain", {"type": "integer"}, 5, b"5"),
        ("text/csv", properties(a=TEXT), "a\n1", b"a\n1"),
        ("application/xml", properties(a=TEXT), "<a/>", b"<a/>"),
        ("application/graphql", TEXT, "{ me }", b"{ me }"),
        ("application/x-ndjson", {"type": "array", "items": {}}, [{"a": 1}, [2]], b'{"a":1}\n[2]\n'),
        ("application/jsonl", properties(a=TEXT), [{"a": "x"}], b'{"a":"x"}\n'),
        ("application/x-ndjson", TEXT, "{}\n", b"{}\n"),
        ("application/octet-stream", TEXT, "AAEC", b"\x00\x01\x02"),
        ("image/png", {"type": "string", "format": "binary"}, base64.b64encode(b"\xff\x00").decode(), b"\xff\x00"),
        ("application/zip", {}, "", b""),
        ("*/*", {"type": "string", "format": "binary"}, "AA==", b"\x00"),
    ],
)
def test_other_bodies(media_type: str, schema: dict[str, Any], argument: Any, content: bytes) -> None:
    assert sent({media_type: {"schema": schema}}, {"body": argument})[1] == content


@pytest.mark.parametrize(
    ("media_type", "argument", "reason"),
    [("application/octet-stream", "no base64!", "in base64"), ("text/plain; charset=ascii", "é", "charset=ascii")],
)
def test_texts_that_cannot_be_sent(media_type: str, argument: str, reason: str) -> None:
    with pytest.raises(ArgumentError, match=f"'body'.*{reason}"):
        sent({media_type: {"schema": TEXT}}, {"body": argument})


@pytest.mark.parametrize(
    ("media_type", "note"), [("application/zip", "The bytes in base64."), ("text/xml", "Text of the type text/xml.")]
)
def test_a_model_reads_what_the_text_is(media_type: str, note: str) -> None:
    read = signature({media_type: {"schema": {"type": "object"}}}, description="The archive.")
    assert read.properties["body"]["description"] == f"The archive. {note}"
