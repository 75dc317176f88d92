"""Values outside JSON are written as the specification's examples are, and read back by other decoders."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.tools.errors import ArgumentError
from orchestrator.tools.numbers import WrittenNumber
from orchestrator.tools.openapi.operation import Style, StyleName
from orchestrator.tools.openapi.styles import (
    Value,
    cookie_pairs,
    header_text,
    path_text,
    query_pairs,
    refuse_taken_names,
)

TEXT = "blue"
LIST = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}


def value(content: Any, name: StyleName = "form", *, explode: bool = True, **more: Any) -> Value:
    return Value("color", "color", content, Style(name, explode, **more))


# OpenAPI 3.1.1, Style Examples; explode without meaning is undefined there and written like `form`.
QUERIES = [
    ("form", False, "", "color="),
    ("form", False, TEXT, "color=blue"),
    ("form", False, LIST, "color=blue,black,brown"),
    ("form", False, OBJECT, "color=R,100,G,200,B,150"),
    ("form", True, TEXT, "color=blue"),
    ("form", True, LIST, "color=blue&color=black&color=brown"),
    ("form", True, OBJECT, "R=100&G=200&B=150"),
    ("spaceDelimited", False, LIST, "color=blue%20black%20brown"),
    ("spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    ("spaceDelimited", True, LIST, "color=blue&color=black&color=brown"),
    ("pipeDelimited", False, LIST, "color=blue%7Cblack%7Cbrown"),
    ("pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    ("deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ("deepObject", False, {"a": {"b": ["x", True]}}, "color%5Ba%5D%5Bb%5D%5B0%5D=x&color%5Ba%5D%5Bb%5D%5B1%5D=true"),
    ("deepObject", True, 5, "color=5"),
    ("json", False, {"a": [1, "é&"]}, "color=%7B%22a%22%3A%5B1%2C%22%C3%A9%26%22%5D%7D"),
    ("form", False, ["a,b", "c&d#"], "color=a%2Cb,c%26d%23"),
    ("form", True, [], ""),
    ("form", False, [], ""),
    ("deepObject", True, {}, ""),
]
PATHS = [
    ("matrix", False, TEXT, ";color=blue"),
    ("matrix", False, LIST, ";color=blue,black,brown"),
    ("matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
    ("matrix", True, TEXT, ";color=blue"),
    ("matrix", True, LIST, ";color=blue;color=black;color=brown"),
    ("matrix", True, OBJECT, ";R=100;G=200;B=150"),
    ("label", False, TEXT, ".blue"),
    ("label", False, LIST, ".blue,black,brown"),
    ("label", False, OBJECT, ".R,100,G,200,B,150"),
    ("label", True, TEXT, ".blue"),
    ("label", True, LIST, ".blue.black.brown"),
    ("label", True, OBJECT, ".R=100.G=200.B=150"),
    ("simple", False, LIST, "blue,black,brown"),
    ("simple", False, OBJECT, "R,100,G,200,B,150"),
    ("simple", True, LIST, "blue,black,brown"),
    ("simple", True, OBJECT, "R=100,G=200,B=150"),
    ("simple", False, ["a,b", "c/d"], "a%2Cb,c%2Fd"),
    ("json", False, {"a": 1}, "%7B%22a%22%3A1%7D"),
]


@pytest.mark.parametrize(("name", "explode", "content", "wire"), QUERIES)
def test_queries(name: StyleName, explode: bool, content: Any, wire: str) -> None:
    assert "&".join(query_pairs(value(content, name, explode=explode))) == wire


@pytest.mark.parametrize(("name", "explode", "content", "wire"), PATHS)
def test_paths(name: StyleName, explode: bool, content: Any, wire: str) -> None:
    assert path_text(value(content, name, explode=explode)) == wire


@pytest.mark.parametrize(
    ("content", "explode", "header"),
    [
        (TEXT, False, "blue"),
        (LIST, True, "blue,black,brown"),
        (OBJECT, False, "R,100,G,200,B,150"),
        (OBJECT, True, "R=100,G=200,B=150"),
        ("a, b; c", False, "a, b; c"),
        ([], False, ""),
    ],
)
def test_headers(content: Any, explode: bool, header: str) -> None:
    assert header_text(value(content, "simple", explode=explode)) == header


def test_json_in_a_header_is_ascii() -> None:
    assert header_text(value({"a": "é"}, "json")) == r'{"a":"\u00e9"}'


def test_cookies() -> None:
    assert cookie_pairs(value("a/b c;d&e")) == ["color=a/b%20c%3Bd%26e"]
    assert cookie_pairs(value(LIST, explode=False)) == ["color=blue,black,brown"]
    assert cookie_pairs(value(LIST)) == ["color=blue", "color=black", "color=brown"]


def test_reserved_characters_stay_where_they_cannot_change_the_request() -> None:
    assert query_pairs(value("/a?b:c@d;e,f=g#h&i+j[k]%2F%zz", allow_reserved=True)) == [
        "color=/a?b:c@d;e,f=g%23h%26i%2Bj%5Bk%5D%2F%25zz"
    ]
    assert query_pairs(value(["a,b", "c"], explode=False, allow_reserved=True)) == ["color=a%2Cb,c"]


@pytest.mark.parametrize(
    ("number", "integers", "text"),
    [
        (5, False, "5"),
        (5.0, False, "5"),
        (0.1, False, "0.1"),
        (WrittenNumber("1.10"), False, "1.10"),
        (WrittenNumber("5.0"), False, "5.0"),
        (WrittenNumber("5.0"), True, "5"),
        (WrittenNumber("12345678901234567890.0"), True, "12345678901234567890"),
        (WrittenNumber("1e-12"), False, "1e-12"),
        (10**40, True, "1" + "0" * 40),
        (False, False, "false"),
    ],
)
def test_numbers(number: Any, integers: bool, text: str) -> None:
    assert query_pairs(value(number, integers=integers)) == [f"color={text}"]


@pytest.mark.parametrize(
    ("name", "explode", "content", "reason"),
    [
        ("form", True, {"a": {"b": 1}}, "no form"),
        ("form", False, [["a"]], "no form"),
        ("form", True, [None], "null"),
        ("deepObject", True, {"a": None}, "null"),
        ("spaceDelimited", False, ["a b", "c"], "separated by ' '"),
        ("pipeDelimited", False, ["a|b", "c"], "separated by '|'"),
    ],
)
def test_queries_that_could_not_be_read_back(name: StyleName, explode: bool, content: Any, reason: str) -> None:
    with pytest.raises(ArgumentError, match="'color'") as caught:
        query_pairs(value(content, name, explode=explode))
    assert reason in str(caught.value)


@pytest.mark.parametrize("content", ["", ".", "..", "%2e%2e", [], ["a", ""], {"..": 1}, None])
@pytest.mark.parametrize("name", ["simple", "label", "matrix"])
def test_paths_that_would_change(name: StyleName, content: Any) -> None:
    with pytest.raises(ArgumentError, match="'color'"):
        path_text(value(content, name, explode=False))


def test_dots_in_items_that_dots_separate() -> None:
    with pytest.raises(ArgumentError, match="separated by dots"):
        path_text(value([1.5, 2], "label"))


@pytest.mark.parametrize("content", ["é", "a\nb", " a", ["a,b", "c"]])
def test_headers_that_could_not_be_read_back(content: Any) -> None:
    with pytest.raises(ArgumentError, match="'color'"):
        header_text(value(content, "simple"))


def test_members_do_not_take_the_names_of_other_parameters() -> None:
    with pytest.raises(ArgumentError, match="'api_key', which is another parameter's name"):
        refuse_taken_names(value({"api_key": "x"}), {"api_key"})
    refuse_taken_names(value({"api_key": "x"}, "deepObject"), {"api_key"})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS


def as_text(scalar: Any) -> str:
    """An independent reading of what a scalar is outside JSON."""
    if isinstance(scalar, str):
        return scalar
    return str(int(scalar)) if isinstance(scalar, float) and scalar.is_integer() else json.dumps(scalar)


@settings(deadline=None)
@given(st.dictionaries(TEXTS, SCALARS, max_size=4), st.lists(SCALARS, max_size=4), st.booleans())
def test_what_is_sent_is_read_back(members: dict[str, Any], items: list[Any], reserved: bool) -> None:
    def parsed(content: Any, name: StyleName, *, explode: bool) -> list[tuple[str, str]]:
        # An encoded triple stays as it is with reserved expansion, so that it is decoded once more.
        allowed = reserved and "%" not in json.dumps(content)
        pairs = query_pairs(value(content, name, explode=explode, allow_reserved=allowed))
        return parse_qsl("&".join(pairs), keep_blank_values=True)

    texts = {name: as_text(item) for name, item in members.items()}
    assert parsed(members, "form", explode=True) == list(texts.items())
    assert parsed(members, "deepObject", explode=True) == [(f"color[{name}]", text) for name, text in texts.items()]
    assert parsed(items, "form", explode=True) == [("color", as_text(item)) for item in items]
    (joined,) = query_pairs(value(items, explode=False)) or ["="]
    if items:
        assert [unquote(text) for text in joined.partition("=")[2].split(",")] == [as_text(item) for item in items]
