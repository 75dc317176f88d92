"""Truncated JSON is distinguished from text that is not JSON."""

from __future__ import annotations

import json

import pytest

from recordings.errors import CutShort, NotTheFormat
from recordings.reading import parse_json

VALUE = {"text": 'a "b" \\ é 😀\n', "numbers": [-1.5e-7, 20.5, -3, 1e30], "words": [True, False, None], "empty": [{}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_json_that_was_cut_anywhere_is_cut(indent: int | None) -> None:
    text = json.dumps(VALUE, indent=indent)
    assert parse_json(text, "here", cut_remedy="again") == VALUE
    for end in range(len(text)):
        with pytest.raises(CutShort, match="here ends in the middle") as refused:
            parse_json(text[:end], "here", cut_remedy="again")
        assert refused.value.remedy == "again"


@pytest.mark.parametrize(
    "text",
    [
        "words",
        "bad",
        "e",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1} {"b"',
        '{"a": trees}',
        '["\\x"]',
        "[1 2]",
        '{"a": 1.x}',
        "[1}",
    ],
)
def test_text_that_is_no_json_is_not_called_cut(text: str) -> None:
    with pytest.raises(NotTheFormat, match="here is not JSON") as refused:
        parse_json(text, "here", cut_remedy="again")
    assert not isinstance(refused.value, CutShort)
