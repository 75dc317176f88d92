"""A key is removed from strings, and JSON stays valid."""

from __future__ import annotations

import json

import pytest

from alpha_umi.client.redact import redact, redact_json


@pytest.mark.parametrize(
    ("key", "value", "left"),
    [
        ("k", {"ok": ["k", {"a": "kk"}]}, {"o[key]": ["[key]", {"a": "[key][key]"}]}),
        ("1", [1, 1.5, True, "1"], [1, 1.5, True, "[key]"]),
        ("n", ["\n", "n"], ["\n", "[key]"]),
        ("u00", ["\u00fc", "u00"], ["\u00fc", "[key]"]),
        ('a"b\\', ['a"b\\c', 'a"b'], ["[key]c", 'a"b']),
        ("\t", {"ne\t": ["t"]}, {"ne[key]": ["t"]}),
        ("ü", ["über"], ["[key]ber"]),
        ("", ["x"], ["x"]),
    ],
)
def test_in_values_and_names(key: str, value: object, left: object) -> None:
    assert json.loads(redact_json(json.dumps(value), key)) == left


def test_in_words() -> None:
    assert (redact("a key", "key"), redact("a key", "")) == ("a [key]", "a key")
