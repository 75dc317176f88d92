"""For any arguments, the request stays under its base URL and transports them unchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from orchestrator.tools.egress import OutboundRequest, check_request
from orchestrator.tools.errors import ArgumentError
from orchestrator.tools.model import EffectClass
from orchestrator.tools.numbers import read_json, with_written_numbers, write_json
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.request import build_request, check_arguments, with_defaults
from orchestrator.tools.openapi.security import Credentials

BASE = "http://api.example/base/v1"


def operation(
    path: str = "/x",
    *,
    method: str = "get",
    parameters: tuple[tuple[str, str, dict[str, Any]], ...] = (),
    body: dict[str, Any] | None = None,
) -> Operation:
    node: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": place, "schema": schema, "required": place == "path"}
            for name, place, schema in parameters
        ],
        "responses": {"200": {"description": "ok"}},
    }
    if body is not None:
        node["requestBody"] = {"content": {"application/json": {"schema": body}}}
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {path: {method: node}}}
    ((only,), _) = parse_document(
        json.dumps(document).encode(), source_name="s", base_url=BASE, default_effect=EffectClass.KEYED_WRITE
    )
    return only


def request(operation: Operation, arguments: dict[str, Any]) -> OutboundRequest:
    complete = with_defaults(operation, arguments)
    check_arguments(operation, complete)
    return build_request(operation, complete, idempotency_key="key-1", credentials=Credentials())


ONE = operation("/users/{id}/mail", parameters=(("id", "path", {"type": "string"}),))
TWO = operation("/f/{a}{b}", parameters=(("a", "path", {"type": "string"}), ("b", "path", {"type": "string"})))
ANY = operation("/x", parameters=(("a", "query", {}), ("b", "query", {}), ("X-H", "header", {})))
HOSTILE = [
    "..", ".", "", "../..", "..\\..", "/..", "../", "a/../../b", "%2e%2e", "%2E%2E%2F", "..%2f", "%252e%252e", ".%2e",
    "..;/",    "//evil.example", "http://evil.example", "@evil.example", "?x=1", "#f",
    "a?b#c", "a\r\nHost: evil", "\x00",
    "\ud800",     "．．", "‥", "\u202e..", "{id}", "*", "%", "%zz", "é", "a b", "a+b", "~", ":", ";", "&", "=",
]  # fmt: skip


def sent_path(outbound: OutboundRequest) -> str:
    """The path as it leaves: after the guard, and as the transport reads it."""
    return URL(str(check_request(outbound, 1).url)).raw_path


@settings(deadline=None)
@given(st.text() | st.sampled_from(HOSTILE) | st.text(alphabet="./\\%2eEfF;", max_size=12))
@example("..")
def test_a_path_value_never_leaves_its_place(value: str) -> None:
    try:
        path = sent_path(request(ONE, {"id": value}))
    except ArgumentError as error:
        assert error.argument == "id"
        return
    assert path.startswith("/base/v1/users/")
    assert path.endswith("/mail")
    segment = path.removeprefix("/base/v1/users/").removesuffix("/mail")
    assert segment
    assert "/" not in segment
    assert unquote(segment) == value.encode("utf-8", "replace").decode()


@settings(deadline=None)
@given(st.sampled_from([*HOSTILE, "."]), st.sampled_from([*HOSTILE, "."]))
@example(".", ".")
def test_values_do_not_join_into_dots(one: str, two: str) -> None:
    try:
        path = sent_path(request(TWO, {"a": one, "b": two}))
    except ArgumentError:
        return
    assert path.startswith("/base/v1/f/")
    assert path.count("/") == 4


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(deadline=None)
@given(SCALARS | st.lists(SCALARS, max_size=3), SCALARS, SCALARS)
def test_queries_and_headers_hold_only_their_own_values(first: Any, second: Any, header: Any) -> None:
    try:
        outbound = request(ANY, {"a": first, "b": second, "X-H": header})
        sent = URL(str(check_request(outbound, 1).url))
    except ArgumentError as error:
        nested_null = [*(first if isinstance(first, list) else []), *(second if isinstance(second, list) else [])]
        assert error.argument == "X-H" or None in nested_null
        return
    assert sent.raw_path == "/base/v1/x"
    assert sent.raw_fragment == ""
    pairs = parse_qsl(sent.raw_query_string, keep_blank_values=True)
    assert {name for name, _ in pairs} <= {"a", "b"}
    if isinstance(second, str):
        assert ("b", second.encode("utf-8", "replace").decode()) in pairs


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ("a b&c=d", "q=a%20b%26c%3Dd"),
        (True, "q=true"),
        (5, "q=5"),
        (5.0, "q=5"),
        (0.1, "q=0.1"),
        (["a", "b,c"], "q=a&q=b%2Cc"),
        ([], ""),
        (None, ""),
        ({"r": 1, "g": "x y"}, "r=1&g=x%20y"),
    ],
)
def test_query_values(value: Any, query: str) -> None:
    outbound = request(operation(parameters=(("q", "query", {}),)), {"q": value})
    assert outbound.url == BASE + "/x" + (f"?{query}" if query else "")


def test_lists_in_paths_and_headers_are_joined() -> None:
    ids = {"type": "array", "items": {"type": "integer"}}
    outbound = request(
        operation("/x/{ids}", parameters=(("ids", "path", ids), ("X-Ids", "header", ids))),
        {"ids": [1, 2], "X-Ids": [3, 4]},
    )
    assert outbound.url == f"{BASE}/x/1,2"
    assert outbound.headers["x-ids"] == "3,4"


def test_only_required_arguments_are_sent_with_their_default() -> None:
    change = operation(
        "/{page}",
        method="patch",
        parameters=(("page", "path", {"type": "integer", "default": 1}), ("sort", "query", {"default": "up"})),
        body={"type": "object", "properties": {"title": {}, "status": {"default": "open"}, "due": {}}},
    )
    outbound = request(change, {"title": "new"})
    assert (outbound.url, outbound.content) == (f"{BASE}/1", b'{"title":"new"}')
    outbound = request(change, {"page": 2, "status": "done", "due": None})
    assert (outbound.url, outbound.content) == (f"{BASE}/2", b'{"status":"done","due":null}')


def test_a_body_of_one_argument_is_sent_as_it_is() -> None:
    lists = operation(method="post", body={"type": "array", "items": {"type": "string"}})
    assert request(lists, {"body": ["ü"]}).content == '["ü"]'.encode()
    assert request(lists, {"body": ["ü"]}).headers["content-type"] == "application/json"
    assert request(lists, {}).content is None
    assert "content-type" not in request(lists, {}).headers


def test_only_writes_carry_the_key() -> None:
    assert "idempotency-key" not in request(operation(), {}).headers
    assert request(operation(method="delete"), {}).headers["idempotency-key"] == "key-1"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "n"),
        ({"n": "5"}, "n"),
        ({"n": 0}, "n"),
        ({"n": 5, "kind": "c"}, "kind"),
        ({"n": 5, "tags": ["a", 1]}, "tags.1"),
        ({"n": 5, "unknown": 1}, "unknown"),
        ({"n": 5, "where": {"a": {"b": 1}}}, "where.a"),
        ({"n": 5, "tags": {"a": 1}}, "tags"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], named: str) -> None:
    body = {
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer", "minimum": 1},
            "kind": {"enum": ["a", "b"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "where": {"type": "object", "properties": {"a": {"type": "string"}}},
        },
    }
    with pytest.raises(ArgumentError, match=named):
        request(operation(method="post", body=body), arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"a": {"b": [1]}}, "'a'"),
        ({"a": ["\ud800"]}, "'a.0' holds half of a surrogate pair"),
        ({"a": {"\ud800": 1}}, "'a.\\?' holds half of a surrogate pair"),
        ({"a": [float("inf")]}, "'a.0' is a number beyond"),
        ({"a": {"b": "1"}}, "'a' holds 'b', which is another"),
        ({"a": [[[]]] * 500}, "'a'"),
    ],
)
def test_values_that_cannot_be_sent_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        request(ANY, arguments)


def test_nesting_has_a_bound() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(ArgumentError, match="nests deeper"):
        request(operation(method="post", body={}), {"body": deep})


@pytest.mark.parametrize(
    ("answers", "accept"),
    [
        ((), "application/json, */*;q=0.5"),
        (("application/json",), "application/json, */*;q=0.1"),
        (("text/csv", "application/vnd.api+json"), "application/vnd.api+json, text/csv;q=0.9, */*;q=0.1"),
        (("text/csv", "application/xml"), "text/csv, application/xml, */*;q=0.1"),
        (("*/*",), "*/*"),
    ],
)
def test_accept_names_the_declared_answers(answers: tuple[str, ...], accept: str) -> None:
    assert request(replace(operation(), answers=answers), {}).headers["accept"] == accept


def test_cookies_stand_beside_those_of_credentials() -> None:
    sent = build_request(
        operation(parameters=(("lang", "cookie", {}), ("s", "cookie", {}))),
        {"lang": "nb", "s": None},
        idempotency_key="",
        credentials=Credentials(headers={"cookie": "session=x"}, query={"key": "a b"}),
    )
    assert sent.headers["cookie"] == "lang=nb; session=x"
    assert sent.url == f"{BASE}/x?key=a%20b"


def test_members_of_an_object_do_not_replace_a_credential() -> None:
    with pytest.raises(ArgumentError, match="another parameter's name"):
        build_request(ANY, {"a": {"key": "x"}}, idempotency_key="", credentials=Credentials(query={"key": "a"}))


def test_numbers_are_sent_as_they_were_written() -> None:
    pay = operation(
        method="post",
        parameters=(("limit", "query", {"type": "integer"}), ("rate", "query", {"type": "number", "maximum": 2})),
        body={"type": "object", "properties": {"amount": {"type": "number", "multipleOf": 0.01}, "more": {}}},
    )
    written = '{"limit": 5.0, "rate": 1.50, "amount": 1.10, "more": [1e-12, 12345678901234567890.123]}'
    outbound = request(pay, read_json(written))
    assert outbound.url == f"{BASE}/x?limit=5&rate=1.50"
    assert outbound.content == b'{"amount":1.10,"more":[1e-12,12345678901234567890.123]}'


@pytest.mark.parametrize(
    ("turn", "same"),
    [
        ('Action: pay\nAction Input: {"a": 1.10} and so on', True),
        ('Action: pay\nAction Input: {"a": 1.2}', False),
        ("no call", False),
    ],
)
def test_digits_come_from_the_turn_that_has_the_arguments(turn: str, same: bool) -> None:
    assert write_json(with_written_numbers({"a": 1.1}, turn)) == ('{"a":1.10}' if same else '{"a":1.1}')


def test_a_pattern_cannot_hang_a_call() -> None:
    evil = operation(parameters=(("a", "query", {"type": "string", "pattern": "^(a|a)*c$"}),))
    with pytest.raises(ArgumentError, match="'a'"):
        request(evil, {"a": "a" * 5_000})
