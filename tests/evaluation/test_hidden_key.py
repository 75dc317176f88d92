"""A key is taken out of strings, and leaves JSON that is JSON."""

from __future__ import annotations

import json

import pytest

from evaluation.hidden_key import json_without_key, without_key


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
    assert json.loads(json_without_key(json.dumps(value), key)) == left


def test_in_words() -> None:
    assert (without_key("a key", "key"), without_key("a key", "")) == ("a [key]", "a key")
