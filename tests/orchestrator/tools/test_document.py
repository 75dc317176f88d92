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
from orchestrator.tools.openapi.parse import parse_document

OK = {"200": {"description": "ok"}}


def parse(document: Any, **more: Any) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    options: dict[str, Any] = {"base_url": "http://api.example", "default_effect": EffectClass.UNKEYED_WRITE}
    return parse_document(raw, source_name="s", **options | more)


def aliases(levels: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


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
    "infinity": (b'{"openapi": "3.0.0", "x": 1e999}', "infinite"),
    "an endless number": (b'{"openapi": ' + b"9" * 5_000 + b"}", "like JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "UTF-8"),
    "binary": (b"openapi: \x00\x01", "not readable"),
    "swagger 2.0": (b'{"swagger": "2.0", "paths": {}}', "Swagger 2.0"),
    "a future version": (b'{"openapi": "3.2.0"}', "3.2.0"),
    "a number as version": (b"openapi: 3.0", "3.0"),
    "no paths": (b'{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}}', "no paths"),
    "too large": (b'{"x": "' + b"x" * MAX_BYTES + b'"}', "larger than"),
    "JSON nested deeply": (b'{"x": ' + b"[" * 500_000, "deeper"),
    "JSON nested just too deeply": (b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}", "deeper"),
    "YAML nested deeply": (b"x: " + b"[" * 500_000, "deeper"),
    "YAML nested by indentation": (b"".join(b" " * n + b"a:\n" for n in range(200)), "deeper"),
    "an alias bomb": (aliases(9), "aliases"),
    "one alias": (b"a: &a 1\nb: *a", "aliases"),
    "many values": (b'{"x": [' + b"0," * 900_000 + b"0]}", "more than"),
    "many values in YAML": (b"x: [" + b"0," * 900_000 + b"0]", "more than"),
    "a Python object": (b'openapi: !!python/object/apply:os.system ["true"]', "not readable"),
    "a set": (b"openapi: !!set {a, b}", "not readable"),
    "a key that is a list": (b"? [a]\n: 1", "not readable"),
    "half a surrogate pair": (b'{"openapi": "\\ud800"}', "surrogate"),
    "NUL in a key": (b'{"\\u0000": 1}', "NUL"),
    "a key that is null": (b"~: 1", "not text"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_document_is_refused_quickly_with_a_remedy(raw: bytes, message: str) -> None:
    started = time.process_time()
    with pytest.raises(DocumentError, match=message) as caught:
        parse(raw)
    assert time.process_time() - started < 1
    assert caught.value.remedy
    assert len(str(caught.value)) < 1_000


def test_five_thousand_operations_are_refused_and_five_hundred_are_read() -> None:
    with pytest.raises(DocumentError, match="5000 operations; at most 500"):
        parse(wide(5_000))
    assert len(parse(wide(500))) == 500


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
        "#",
        "#anchor",
        "",
    ],
)
def test_references_that_lead_out_are_refused(document: Callable[..., dict[str, Any]], target: str) -> None:
    spec = document()
    spec["components"] = {"schemas": {"Unused": {"properties": {"a": {"$ref": target}}}}}
    with pytest.raises(DocumentError, match="leads out") as caught:
        parse(spec)
    assert caught.value.field == "#/components/schemas/Unused/properties/a/$ref"


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
bad["components"]["schemas"]["B"] = {"$ref": "file:///etc/passwd"}
def read(document):
    parse_document(json.dumps(document).encode(), source_name="s", base_url=None, default_effect=EffectClass.READ)
read(good)  # loads the specification's own schemas
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
