"""Malformed requests (broken encodings, bombs, odd paths): each gets a problem document."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.fuzzed_applications import APPLICATIONS, application_running

JSON = {"Content-Type": "application/json"}
DEEP = 100_000

BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "nothing": (b"", JSON),
    "no type": (b"{}", {}),
    "another type": (b"{}", {"Content-Type": "text/plain"}),
    "a type that is none": (b"{}", {"Content-Type": "/;;="}),
    "a form": (b"instruction=x", {"Content-Type": "application/x-www-form-urlencoded"}),
    "a form in parts": (b"--x\r\n\r\n--x--", {"Content-Type": "multipart/form-data; boundary=x"}),
    "compressed": (gzip.compress(b"{}"), JSON | {"Content-Encoding": "gzip"}),
    "invalid UTF-8": (b'{"instruction": "\xff\xfe"}', JSON),
    "UTF-16 cut short": ('{"instruction": "x"}'.encode("utf-16")[:-1], JSON),
    "deep lists": (b"[" * DEEP, JSON),
    "deep closed lists": (b"[" * DEEP + b"]" * DEEP, JSON),
    "deep objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON),
    "a number of many digits": (b'{"instruction": ' + b"9" * 5_000 + b"}", JSON),
    "a number beyond all": (b'{"instruction": 1e999}', JSON),
    "no number": (b'{"instruction": NaN}', JSON),
    "a name twice": (b'{"instruction": "x", "instruction": 1}', JSON),
    "a name of nothing": (b'{"\\u0000": "x"}', JSON),
    "half a pair as a name": (b'{"\\ud800": "x"}', JSON),
}
# Texts and values that are put in the place of each value of a request that would be answered.
STRANGE: list[bytes] = [
    rb'"\u0000"',
    rb'"\ud800"',
    rb'"\udc00\ud800"',
    b'"\xed\xa0\x80"',
    b'""',
    b'"' + b"a" * 100_000 + b'"',
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 400,
    b"9" * 5_000,
    b"-0.0",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[" * 2_000 + b"]" * 2_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    rb'{"\u0000": {"\ud800": "\ud800"}}',
]
SEGMENTS = [
    "%00",
    "%2F",
    "..%2F..%2Fetc",
    "%FF",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "a%0Ab",
    "%",
    "x" * 10_000,
    "%E2%80%AE",
    "",
]
QUERIES = [
    "",
    "%00=%00",
    "limit=1&limit=2",
    "limit=" + "9" * 5_000,
    "after=%00",
    "after=%ED%A0%80",
    "status=%FF",
    "&&&==",
    "a[b]=c",
]

TURN = {"role": "planner", "content": "I look it up. Next: caller."}
SCHEMA = {"type": "object", "properties": {"item": {"type": "string"}}}
TOOL = {"name": "look_up", "description": "Price of an item", "parameters": SCHEMA}
SAMPLING = {"temperature": 0.5, "top_p": 0.5, "seed": 1, "max_tokens": 500}
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "paths": {"/a": {"get": {"responses": {}}}}}
ANSWERED: dict[str, dict[str, Any]] = {
    "/v1/plan": {"tools": [TOOL], "history": [TURN], "constrained": True, "stream": False} | SAMPLING,
    "/v1/call": {"tools": [TOOL], "history": [TURN], "constrained": True} | SAMPLING,
    "/v1/summarize": {"history": [TURN], "stream": False} | SAMPLING,
    "/v1/step": {"tools": [TOOL], "history": [TURN], "conclude": False, "constrained": True} | SAMPLING,
    "/v1/trajectories": {"instruction": "What is it?", "tools": ["look_up"], "max_steps": 3, "metadata": {"a": "b"}},
    "/v1/tool-sources": {
        "name": "x",
        "document": DOCUMENT,
        "base_url": "http://127.0.0.1:9",
        "headers": {"X-Key": "y"},
        "credentials": {"a": "b"},
        "operations": ["get_a"],
    },
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_strange_requests_get_problem_documents(name: str, tmp_path: Path) -> None:
    with application_running(name, tmp_path) as address, httpx.Client(base_url=address, timeout=30) as client:
        paths = client.get("/openapi.json").json()["paths"]
        complaints = [
            *(complaint for path in paths if "post" in paths[path] for complaint in _about_bodies(client, path)),
            *(complaint for path in paths for complaint in _about_addresses(client, path, paths[path])),
        ]
        assert client.get("/readyz").status_code == 200
    assert not complaints


def _about_bodies(client: httpx.Client, path: str) -> Iterator[str]:
    for case, (body, headers) in BODIES.items():
        response = client.post(path, content=body, headers=headers)
        yield from complaint(response, f"{path}: {case}")
        if response.is_success and path in ANSWERED:
            yield f"{path}: {case}: {response.text}"
    for body in strange_bodies(path):
        yield from complaint(client.post(path, content=body, headers=JSON), f"{path}: {body[:300]!r}")


def _about_addresses(client: httpx.Client, path: str, methods: Iterable[str]) -> Iterator[str]:
    for strange in strange_addresses(path):
        url = client.base_url.copy_with(raw_path=strange.encode())
        for method in methods:
            yield from complaint(client.request(method, url, json={}), f"{method} {strange[:300]}")


def strange_bodies(path: str) -> Iterator[bytes]:
    """The request that is answered at this path, each of its values replaced by each strange one."""
    document = ANSWERED.get(path.removesuffix("/render"))
    if document is not None:
        for mark in range(_places(document)):
            text = json.dumps(_marked(document, iter(range(mark, -_places(document), -1))))
            for strange in STRANGE:
                yield text.encode().replace(b'"HERE"', strange)


def strange_addresses(path: str) -> Iterator[str]:
    """The path with each strange segment in each of its variables, and with strange queries."""
    head, variable, tail = path.partition("{")
    if variable:
        for segment in SEGMENTS:
            yield head + segment + tail.partition("}")[2]
    yield from (path.replace("{", "%7B").replace("}", "%7D") + "?" + query for query in QUERIES)


def complaint(response: httpx.Response, case: str) -> Iterator[str]:
    """The defect of an answer: a server error, or an error without a problem document or OpenAI's form."""
    if response.status_code >= 400:
        is_problem = response.headers["content-type"] == "application/problem+json"
        document = response.json() if is_problem or response.headers["content-type"] == "application/json" else {}
        is_known = document.get("status") == response.status_code if is_problem else "code" in document.get("error", {})
        if response.status_code >= 500 or not is_known:
            yield f"{case}: {response.status_code} {response.text}"


def _places(value: Any) -> int:
    """How many values there are, the nested ones among them."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_places, inside))


def _marked(value: Any, countdown: Iterator[int]) -> Any:
    """A copy in which the value stands marked at which the countdown is zero."""
    if next(countdown) == 0:
        return "HERE"
    if isinstance(value, dict):
        return {key: _marked(item, countdown) for key, item in value.items()}
    return [_marked(item, countdown) for item in value] if isinstance(value, list) else value
