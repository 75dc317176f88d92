"""The schema of an answer at acceptance: refused with its place, large ones in a process of their own."""

from __future__ import annotations

from typing import Any

import pytest

from alpha_umi.contract.problems import ServiceError
from orchestrator.api.tools import require_answer_schema

LARGE = {"enum": [f"value {number}" for number in range(10_000)]}


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, LARGE])
async def test_a_usable_schema(schema: dict[str, Any]) -> None:
    await require_answer_schema(schema, field="text.format.schema")


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "strin"}, "text.format.schema.type"),
        ({"properties": {"a": {"pattern": "("}, "b": LARGE}}, "text.format.schema.properties.a.pattern"),
        ({"enum": ["x" * 600_000]}, "text.format.schema"),
    ],
)
async def test_the_place_of_the_fault(schema: dict[str, Any], field: str) -> None:
    with pytest.raises(ServiceError) as caught:
        await require_answer_schema(schema, field=field.partition(".schema")[0] + ".schema")
    assert (caught.value.kind, caught.value.errors[0].field) == ("answer-schema-invalid", field)
    assert caught.value.errors[0].remedy
