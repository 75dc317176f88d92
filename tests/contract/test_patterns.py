"""The cost of patterns: what is enforced, what is charged, and what a check of a value may take."""

from __future__ import annotations

import pytest

from alpha_umi.contract.patterns import MAX_PATTERN_BYTES, PatternBudget, PatternError, enforced_size
from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from alpha_umi.contract.value_check import first_fault


@pytest.mark.parametrize(
    ("pattern", "largest"),
    [
        ("^[a-z0-9]+$", 2**10),
        ("^.{1,255}$", MAX_PATTERN_BYTES),
        (r"\p{L}{1,200}", None),
        ("((a{1000}){1000}){1000}", None),
        ("(?=a)", None),
        ("a" * 5_000, None),
        (r"(?i)\w" * 20, None),
        ("(", None),
    ],
)
def test_only_small_patterns_of_the_linear_engine_are_enforced(pattern: str, largest: int | None) -> None:
    size = enforced_size(pattern)
    assert (size is None) == (largest is None)
    assert size is None or size <= (largest or 0)


def test_what_is_no_pattern_is_refused() -> None:
    budget = PatternBudget(2**30)
    assert all(budget.charge(pattern) for pattern in ("a++", "(?=a)", "[[:alpha:]]", "(?i)a" * 20))
    with pytest.raises(PatternError):
        budget.charge("(")


def test_a_budget_pays_for_distinct_patterns_and_for_attempts() -> None:
    budget = PatternBudget(3 * MAX_PATTERN_BYTES)
    assert all(budget.charge("^a$") for _ in range(1_000))
    assert [budget.charge(rf"\p{{L}}{{1,{n}}}") for n in range(200, 204)] == [True, True, False, False]


def test_schemas_of_dear_patterns_are_refused_together() -> None:
    schemas = [
        {"properties": {f"p{m}": {"pattern": rf"\p{{L}}{{1,{200 + 10 * n + m}}}"} for m in range(5)}} for n in range(2)
    ]
    budget = PatternBudget(8 * MAX_PATTERN_BYTES)
    check_schema(schemas[0], budget)
    with pytest.raises(ToolSchemaError, match="MiB") as caught:
        check_schema(schemas[1], budget)
    assert caught.value.pointer == "/properties/p3/pattern"


def test_a_dear_pattern_is_not_matched_with_a_long_text() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "[ab]*a[ab]{1000}c"}}}
    assert first_fault(schema, {"a": "a" * 1_001 + "c"}) is None
    fault = first_fault(schema, {"a": "ab" * 1_000_000})
    assert fault is not None
    assert "too long" in fault.message
