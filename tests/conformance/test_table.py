"""The table of `make conformance`, and that a part that cannot run is no success."""

from __future__ import annotations

import pytest

from conformance.system import sample
from conformance.table import Check, Outcome, table


def test_it_has_a_line_for_each_part_and_the_errors_below() -> None:
    outcomes = [
        Outcome("chat", (Check("basic"), Check("tools", "no call")), 1.25),
        Outcome("open-responses", left_out="no checkout is named"),
    ]
    assert table(outcomes).splitlines() == [
        "part            passed/of  seconds",
        "chat                  1/2      1.2",
        "open-responses          -        -  no checkout is named",
        "chat: tools: no call",
    ]


def test_a_part_without_checks_is_no_success() -> None:
    assert not Outcome("chat").is_good
    assert Outcome("chat", (Check("basic"),)).is_good
    assert Outcome("open-responses", left_out="no checkout is named").is_good


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"n": {"type": "integer"}, "m": {}}, "required": ["n"]}, {"n": 1}),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": ["null", "string"]}, None),
    ],
)
def test_the_scripts_write_the_simplest_value(schema: dict[str, object], value: object) -> None:
    assert sample(schema) == value
