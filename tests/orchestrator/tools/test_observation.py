"""The observation for each kind of response."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.tools.egress import Answer
from orchestrator.tools.model import EffectClass, ToolResult
from orchestrator.tools.observation import bounded, failure, observe
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.openapi.security import Credentials


def operation(media_type: str = "application/json") -> Operation:
    answer = {"200": {"description": "ok", "content": {media_type: {}}}}
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/x": {"get": {"responses": answer}}},
    }
    ((only,), _) = parse_document(
        json.dumps(document).encode(), source_name="s", base_url="http://a.example", default_effect=EffectClass.READ
    )
    return only


JSON, TEXT = operation(), operation("text/plain")


def seen(body: bytes, *, status: int = 200, media_type: str = "application/json", **more: object) -> ToolResult:
    charset, truncated, of = more.get("charset"), more.get("truncated", False), more.get("of", JSON)
    assert charset is None or isinstance(charset, str)
    assert isinstance(of, Operation)
    limit = more.get("max_bytes", 16_384)
    assert isinstance(limit, int)
    return observe(Answer(status, media_type, charset, body, bool(truncated)), of, Credentials(), max_bytes=limit)


def test_json_is_written_compactly() -> None:
    result = seen(b'\xef\xbb\xbf {\n  "a": [1, 2.50],\n  "\\u00fc": null }\n')
    assert result == ToolResult('{"a":[1,2.5],"ü":null}', is_error=False, truncated=False)


@pytest.mark.parametrize(
    ("status", "body", "media_type", "says"),
    [
        (404, b'{ "detail": "no such user" }', "application/json", 'HTTP 404 from the tool: {"detail":"no such user"}'),
        (500, b"", "", "HTTP 500 from the tool."),
        (429, b"slow down", "text/plain", "HTTP 429 from the tool: slow down"),
        (302, b"see http://evil", "text/html", "HTTP 302: the tool answered with a redirect, which is not followed."),
        (304, b"", "", "HTTP 304: the tool answered with a redirect, which is not followed."),
        (200, b"<p>hi</p>", "text/html", "HTTP 200: the tool's answer is text/html and not JSON: <p>hi</p>"),
        (200, b"[NaN]", "application/json", "HTTP 200: the tool's answer is application/json and not JSON: [NaN]"),
        (200, b'{"a": 1', "application/json", 'HTTP 200: the tool\'s answer is application/json and not JSON: {"a": 1'),
        (200, b"hi", "", "HTTP 200: the tool's answer is of no type and not JSON: hi"),
    ],
)  # fmt: skip
def test_errors_are_reported(status: int, body: bytes, media_type: str, says: str) -> None:
    assert seen(body, status=status, media_type=media_type) == ToolResult(says, is_error=True, truncated=False)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"9" * 10_000, b"1e999", b'{"a": Infinity}', b"\xff\xfe"])
def test_json_that_cannot_be_read_is_an_error_and_no_crash(body: bytes) -> None:
    assert seen(body).is_error


@pytest.mark.parametrize("status", [200, 201, 204])
def test_no_content_is_success(status: int) -> None:
    assert seen(b"", status=status) == ToolResult(f"(HTTP {status}, no content)", is_error=False, truncated=False)


def test_announced_text_is_success() -> None:
    assert seen(b" sunny\n", media_type="text/plain", of=TEXT) == ToolResult("sunny", is_error=False, truncated=False)
    assert seen(b"ueber \xfc", media_type="text/plain", of=TEXT, charset="ISO-8859-1").content == "ueber ü"
    assert "\N{REPLACEMENT CHARACTER}" in seen(b"\xfc", media_type="text/plain", of=TEXT, charset="no-such").content


def test_an_answer_that_was_cut_on_the_way_is_an_error() -> None:
    result = seen(b'{"a": "' + b"x" * 5_000, truncated=True)
    assert result.is_error
    assert result.truncated
    assert result.content.startswith("The tool's answer is too large; its first 5007 bytes were read: {")
    assert len(result.content) < 2_500


def test_a_long_answer_is_cut_between_characters_and_marked() -> None:
    result = seen(json.dumps(["ü" * 20_000], ensure_ascii=False).encode())
    assert not result.is_error
    assert result.truncated
    assert len(result.content.encode()) <= 16_384
    assert result.content.endswith(" [cut: 40004 bytes in all]")


def test_what_cannot_be_stored_is_replaced() -> None:
    content = seen(b'["\\ud800", "\\u0000"]').content
    assert content.encode().decode() == content
    assert "\x00" not in seen(b"a\x00b", of=TEXT, media_type="text/plain").content


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(100, 599), st.integers(1, 300))
def test_any_answer_becomes_a_bounded_text(body: bytes, status: int, max_bytes: int) -> None:
    result = seen(body, status=status, max_bytes=max_bytes)
    assert len(result.content.encode()) <= max_bytes
    assert result.is_error or 200 <= status < 300


@settings(deadline=None)
@given(st.text(), st.integers(0, 100))
def test_bounded(text: str, max_bytes: int) -> None:
    shown, cut = bounded(text, max_bytes)
    assert len(shown.encode()) <= max_bytes
    assert cut == (len(text.replace("\x00", "\ufffd").encode("utf-8", "replace")) > max_bytes)


def test_a_failure_is_bounded() -> None:
    assert failure("x" * 100, max_bytes=50).truncated
