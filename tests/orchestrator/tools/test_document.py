"""Invalid documents, and documents that expand without bounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.tools.errors import DocumentError
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.document import MAX_BYTES, read_document
from orchestrator.tools.openapi.parse import Selection, parse_document

OK = {"200": {"description": "ok"}}


def parse(document: Any, **more: Any) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    options: dict[str, Any] = {"base_url": "http://api.example", "default_effect": EffectClass.UNKEYED_WRITE}
    operations, _ = parse_document(raw, source_name="s", **options | more)
    return operations


def aliases(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def test_an_infinite_number_matters_only_where_it_is_needed(document: Callable[..., dict[str, Any]]) -> None:
    body = {"content": {"application/json": {"schema": {"type": "number", "maximum": "BIG"}}}}
    spec = document({"/a": {"post": {"requestBody": body, "responses": OK}}, "/b": {"get": {"responses": OK}}})
    raw = json.dumps(spec).replace('"BIG"', "1e999").encode()
    assert [each.path for each in parse(raw)] == ["/b"]


def nested(level: int) -> bytes:
    return f"a{level}: &a{level} [*a{level - 1}]\n".encode()


def wide(operations: int) -> dict[str, Any]:
    answer = {"responses": {"200": {"description": "ok"}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {f"/p{index}": {"get": answer} for index in range(operations)},
    }


REFUSED = {
    "empty": (b"", "not an object"),
    "text": (b"hello", "not an object"),
    "a list": (b"[1, 2]", "not an object"),
    "html": (b"<!doctype html><html><body>Not found</body></html>", "not"),
    "another object": (b'{"a": 1}', "no `openapi`"),
    "broken JSON": (b'{"openapi": ', "like JSON and is not"),
    "broken YAML": (b"openapi: [3.0\ninfo: }", "not readable as YAML"),
    "NaN": (b'{"openapi": NaN}', "NaN"),
    "an endless number": (b'{"openapi": ' + b"9" * 5_000 + b"}", "like JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "UTF-8"),
    "binary": (b"openapi: \x00\x01", "not readable"),
    "swagger 2.0": (b'{"swagger": "2.0", "x": [], "paths": {}}', "no paths"),
    "a future version": (b'{"openapi": "4.0.0"}', "4.0.0"),
    "swagger 1.2": (b'{"swaggerVersion": "1.2"}', "no `openapi`"),
    "no paths": (b'{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}}', "no paths"),
    "too large": (b'{"x": "' + b"x" * MAX_BYTES + b'"}', "larger than"),
    "JSON nested deeply": (b'{"x": ' + b"[" * 500_000, "deeper"),
    "JSON nested just too deeply": (b'{"x": ' + b"[" * 210 + b"]" * 210 + b"}", "deeper"),
    "YAML nested deeply": (b"x: " + b"[" * 500_000, "deeper"),
    "YAML nested by indentation": (b"".join(b" " * n + b"a:\n" for n in range(210)), "deeper"),
    "an alias bomb": (aliases(9), "more than 1000000 values"),
    "a bomb of merge keys": (aliases(7) + b"\nm: &m {k: *a6}\nn: {<<: *m}\n" + b"o: {<<: *m}\n" * 3, "more than"),
    "aliases that nest deeply": (b"a0: &a0 [x]\n" + b"".join(nested(n) for n in range(1, 210)), "deeper"),
    "an alias of nothing": (b"a: *b", "no anchor"),
    "two documents": (b"a: 1\n---\nb: 1", "more than one document"),
    "many values": (b'{"x": [' + b"0," * 1_000_000 + b"0]}", "more than"),
    "many empty objects": (b'{"x": [' + b"{}," * 4_000_000 + b"0]}", "more than"),
    "many values in YAML": (b"x: [" + b"0," * 1_000_000 + b"0]", "more than"),
    "a Python object": (b'openapi: !!python/object/apply:os.system ["true"]', "not readable"),
    "a set": (b"openapi: !!set {a, b}", "not readable"),
    "a key that is a list": (b"? [a]\n: 1", "not readable"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_document_is_refused_quickly_with_a_remedy(raw: bytes, message: str) -> None:
    started = time.process_time()
    with pytest.raises(DocumentError, match=message) as caught:
        parse(raw)
    assert time.process_time() - started < 5
    assert caught.value.remedy
    assert len(str(caught.value)) < 1_000


def test_the_number_of_selected_operations_is_bounded() -> None:
    with pytest.raises(DocumentError, match="5001 operations are selected; at most 5000"):
        parse(wide(5_001))
    assert [each.path for each in parse(wide(5_001), selection=Selection(paths=["/p7"]))] == ["/p7"]


def test_yaml_means_what_json_means() -> None:
    raw = b"""
openapi: 3.0.3
on: yes
date: 2024-01-01
octal: 010
time: 12:30
none: ~
number: 1.5e3
200: ok
quoted: "1"
true: a key
base: &base {a: 1, b: 1}
merged: {<<: [*base, {b: 2, c: 2}], c: 3}
"<<": text
tagged: !!str 12
again: *base
"""
    assert read_document(raw) == {
        "openapi": "3.0.3",
        "on": "yes",
        "date": "2024-01-01",
        "octal": "010",
        "time": "12:30",
        "none": None,
        "number": 1500.0,
        "200": "ok",
        "quoted": "1",
        "true": "a key",
        "base": {"a": 1, "b": 1},
        "merged": {"a": 1, "b": 1, "c": 3},
        "<<": "text",
        "tagged": "12",
        "again": {"a": 1, "b": 1},
    }


@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/schema.json",
        "https://evil.example/schema.json#/a",
        "file:///etc/passwd",
        "other.yaml#/components/schemas/A",
        "../secrets.json",
        "//evil.example/x",
        "http://[",
        "#anchor",
        "",
    ],
)
def test_references_that_lead_out_matter_only_where_they_are_needed(
    document: Callable[..., dict[str, Any]], target: str
) -> None:
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"a": {"$ref": target}}}}}}
    spec = document({"/a": {"post": {"requestBody": body, "responses": OK}}})
    with pytest.raises(DocumentError, match=r"leads out.*remote_references") as caught:
        parse(spec)
    assert caught.value.field.endswith("/schema/properties/a/$ref")
    spec["paths"]["/b"] = {"get": {"responses": {"200": body | {"description": "ok"}, "400": {"$ref": target}}}}
    assert [each.path for each in parse(spec)] == ["/b"]


def test_examples_may_hold_anything_that_looks_like_a_reference(document: Callable[..., dict[str, Any]]) -> None:
    spec = document()
    spec["components"] = {"schemas": {"A": {"type": "object", "example": {"$ref": "http://data.example/1"}}}}
    assert parse(spec)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ({"get": {"parameters": [{"$ref": "#/components/parameters/none"}], "responses": OK}}, "leads nowhere"),
        ({"get": {"parameters": [{"$ref": "#/info"}], "responses": OK}}, "not a parameter"),
        ({"get": {"parameters": [{"$ref": "#/components/parameters/a"}], "responses": OK}}, "circle"),
        ({"post": {"requestBody": {"$ref": "#/info"}, "responses": OK}}, "not a request body"),
        ({"$ref": "#/paths/~1things"}, "circle"),
    ],
)
def test_references_that_lead_to_the_wrong_place_are_refused(
    document: Callable[..., dict[str, Any]], path: dict[str, Any], message: str
) -> None:
    circle = {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}}
    with pytest.raises(DocumentError, match=message):
        parse(document({"/things": path}, components={"parameters": circle}))


def test_nothing_is_opened_while_a_document_is_read(document: Callable[..., dict[str, Any]]) -> None:
    """Run in a process of its own, because an audit hook cannot be taken away again."""
    import subprocess
    import sys

    spec = document()
    spec["components"] = {"schemas": {"A": {"$id": "http://evil.example/a", "$ref": "#/info"}}}
    program = """
import json, sys
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.model import EffectClass
good, bad = json.loads(sys.argv[1]), json.loads(sys.argv[1])
bad["paths"]["/things"]["get"]["parameters"] = [{"$ref": "file:///etc/passwd"}]
def read(document):
    parse_document(json.dumps(document).encode(), source_name="s", base_url=None, default_effect=EffectClass.READ)
read(good)
seen = []
watched = ("open", "socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, _: seen.append(event) if event in watched else None)
read(good)
try:
    read(bad)
except Exception as error:
    print(type(error).__name__, seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(spec)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "DocumentError []", done.stderr
