"""The observation for each kind of response."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.openapi_documents import openapi_document

from alpha_umi.redaction import Redactor
from orchestrator.tools.egress import Answer
from orchestrator.tools.json_text import NOT_READ
from orchestrator.tools.model import EffectClass, ToolResult
from orchestrator.tools.observation import failure, observe
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document


def operation(*media_types: str) -> Operation:
    answer = {"200": {"description": "ok", "content": {name: {} for name in media_types}}}
    document = openapi_document({"/x": {"get": {"responses": answer}}})
    ((only,), _) = parse_document(
        json.dumps(document).encode(), source_name="s", base_url="http://a.example", default_effect=EffectClass.READ
    )
    return only


JSON, HTML, NOTHING = operation("application/json"), operation("text/html; charset=utf-8"), operation()


def seen(
    body: bytes,
    *,
    status: int = 200,
    media_type: str = "application/json",
    charset: str | None = None,
    truncated: bool = False,
    of: Operation = JSON,
    secrets: tuple[str, ...] = (),
) -> ToolResult:
    return observe(Answer(status, media_type, charset, body, truncated), of, Redactor(secrets))


def test_json_is_written_compactly_and_keeps_its_digits_and_order() -> None:
    body = b'\xef\xbb\xbf {\n  "z": [1, 2.50, 1E5],\n  "a": 12345678901234567890.10, "\\u00fc\\/": null }\n'
    expected = '{"z":[1,2.50,1E5],"a":12345678901234567890.10,"ü/":null}'
    assert seen(body) == ToolResult(expected, is_error=False, truncated=False)


@pytest.mark.parametrize("media_type", ["text/plain", "text/html", "application/vnd.a+json", "image/png", ""])
def test_json_is_read_whatever_its_label(media_type: str) -> None:
    assert seen(b'{ "a" : 1 }', media_type=media_type) == ToolResult('{"a":1}', is_error=False, truncated=False)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        ("<feed><title>News</title></feed>", "application/atom+xml"),
        ("a,b\n1,2", "text/csv"),
        ('{"a": 1}\n{"a": 2}', "application/x-ndjson"),
        ('{"a": 1}\n\n{"a": 2}', "application/json"),
        ("<p>hi", "text/plain"),
        ("plain words", "text/html"),
        ("sunny", ""),
        ("only words", "application/octet-stream"),
        ("a: 1", "application/yaml"),
    ],
)
def test_text_of_a_success_is_an_observation(body: str, media_type: str) -> None:
    assert seen(body.encode(), media_type=media_type) == ToolResult(body, is_error=False, truncated=False)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>Sign in", b" <html><body>502</body></html>"])
@pytest.mark.parametrize("media_type", ["text/html", "text/plain", ""])
def test_an_html_page_is_an_error_unless_it_is_declared(body: bytes, media_type: str) -> None:
    result = seen(body, media_type=media_type)
    assert result.is_error
    assert result.content.startswith("HTTP 200: the tool answered with an HTML page, which its document does not decl")
    assert not seen(body, media_type=media_type, of=HTML).is_error
    assert not seen(body, media_type=media_type, of=NOTHING).is_error


def test_other_content_is_described() -> None:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    assert seen(png, media_type="image/png") == ToolResult("(image/png, 16 bytes, not shown)", False, False)
    assert seen(png, media_type="").content == "(content of no type, 16 bytes, not shown)"
    assert seen(png, media_type="image/png", status=500).content == (
        "HTTP 500 from the tool: (image/png, 16 bytes, not shown)"
    )


@pytest.mark.parametrize(
    ("status", "body", "media_type", "says"),
    [
        (404, b'{ "detail": "no such user" }', "application/json", 'HTTP 404 from the tool: {"detail":"no such user"}'),
        (500, b"", "", "HTTP 500 from the tool."),
        (429, b"slow down", "text/plain", "HTTP 429 from the tool: slow down"),
        (302, b"see http://evil", "text/html", "HTTP 302: the tool answered with a redirect, which is not followed."),
        (304, b"", "", "HTTP 304: the tool answered with a redirect, which is not followed."),
        (
            200, b'{"a": 1', "application/json",
            'HTTP 200: the tool\'s answer is labelled application/json and is not JSON: {"a": 1',
        ),
    ],
)  # fmt: skip
def test_errors_are_reported(status: int, body: bytes, media_type: str, says: str) -> None:
    assert seen(body, status=status, media_type=media_type) == ToolResult(says, is_error=True, truncated=False)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"\xff\xfe\xfa", b'{"a": "\xff'])
def test_json_that_cannot_be_read_is_an_error_and_no_crash(body: bytes) -> None:
    assert seen(body).is_error


@pytest.mark.parametrize("body", ["9" * 10_000, "1e999", '{"a":NaN}'])
def test_numbers_of_any_size_stay_as_they_are(body: str) -> None:
    assert seen(body.encode()) == ToolResult(body, is_error=False, truncated=False)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_no_content_is_success(status: int) -> None:
    assert seen(b"", status=status) == ToolResult(f"(HTTP {status}, no content)", is_error=False, truncated=False)


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        (b"ueber \xfc", "ISO-8859-1", "ueber ü"),
        (b"ueber \xfc", None, "ueber ü"),
        (b"\xfc", "no-such", "\N{REPLACEMENT CHARACTER}"),
        (b"a\x00b", None, "a\N{REPLACEMENT CHARACTER}b"),
        ("é".encode("utf-16"), None, "é"),
        ("<?xml version='1.0' encoding='ISO-8859-2'?><a>ł</a>".encode("iso-8859-2"), None, None),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b"abc", "punycode", "abc"),
    ],
)  # fmt: skip
def test_text_is_decoded_by_its_charset(body: bytes, charset: str | None, text: str | None) -> None:
    content = seen(body, media_type="text/plain", charset=charset).content
    assert content == text if text is not None else content.endswith("<a>ł</a>")


def test_of_an_answer_that_was_cut_the_complete_values_are_shown() -> None:
    result = seen(b'{"items": [{"id": 1}, {"id": 2}, {"id": 3, "name": "unfin', truncated=True)
    mark = f'"{NOT_READ}"'
    parts = f'{{"items":[{{"id":1}},{{"id":2}},{{"id":3,{mark}:null}},{mark}],{mark}:null}}'
    assert result == ToolResult(parts, is_error=False, truncated=True)
    assert seen("a,b\n1,é".encode()[:-1], media_type="text/csv", truncated=True) == ToolResult(
        f"a,b\n1,\n{NOT_READ}", is_error=False, truncated=True
    )


def test_an_answer_that_was_cut_in_a_string_takes_no_longer_than_another() -> None:
    started = time.process_time()
    result = seen(b'[1, "' + b'\\"' * 500_000, truncated=True)
    assert result == ToolResult(f'[1,"{NOT_READ}"]', is_error=False, truncated=True)
    assert time.process_time() - started < 2


def test_what_cannot_be_stored_is_replaced_or_escaped() -> None:
    content = seen(b'["\\ud800", "\\u0000"]').content
    assert content == '["\\ud800","\\u0000"]'
    assert "\x00" not in seen(b"a\x00b", media_type="text/plain").content


@pytest.mark.parametrize(
    "spelling", ["se/cret-1", "se\\/cret-1", "\\u0073e\\u002Fcret-1", "se%2Fcret-1", "c2UvY3JldC0x"]
)
@pytest.mark.parametrize("rest", ["", "\\ud800"])
def test_secrets_are_redacted_however_json_spells_them(spelling: str, rest: str) -> None:
    result = seen(f'{{"key": "{spelling}{rest}"}}'.encode(), secrets=("se/cret-1",))
    assert result.content == f'{{"key":"[redacted]{rest}"}}'


def test_a_secret_number_is_no_broken_answer() -> None:
    assert seen(b'{"pin": 123456}', secrets=("123456",)) == ToolResult('{"pin": [redacted]}', False, False)


def test_the_end_of_an_answer_that_was_cut_is_no_beginning_of_a_secret() -> None:
    result = seen(b"x" * 100 + b" se/cre", media_type="text/plain", truncated=True, secrets=("se/cret-1",))
    assert "se/" not in result.content
    assert result.content.endswith(NOT_READ)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(100, 599), st.booleans(), st.sampled_from(["", "application/json", "a/b"]))
def test_any_answer_becomes_a_storable_text(body: bytes, status: int, truncated: bool, media_type: str) -> None:
    result = seen(body, status=status, truncated=truncated, media_type=media_type)
    assert result.content.encode().decode().replace("\x00", "") == result.content
    assert result.is_error or 200 <= status < 300


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@settings(deadline=None)
@given(JSON_VALUES, st.sampled_from([None, 2]))
def test_compact_json_is_the_same_value(value: object, indent: int | None) -> None:
    result = seen(json.dumps(value, indent=indent).encode())
    assert not result.is_error
    assert json.loads(result.content) == value


def test_a_failure_is_an_error() -> None:
    assert failure("no answer") == ToolResult("no answer", is_error=True, truncated=False)
