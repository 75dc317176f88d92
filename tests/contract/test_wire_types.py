"""Requests accept exactly the JSON types of the OpenAPI documents."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from alpha_umi.contract.roles import PlanRequest
from alpha_umi.contract.trajectories import CreateTrajectory

PLAN = {"tools": [{"name": "look_up"}], "history": [{"role": "user", "content": "What is it?"}]}


@pytest.mark.parametrize(
    "change",
    [
        {"stream": 1},
        {"stream": "yes"},
        {"constrained": 0},
        {"seed": "5"},
        {"seed": 5.5},
        {"seed": True},
        {"top_p": "1"},
    ],
)
def test_other_types_are_not_converted(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        PlanRequest.model_validate(PLAN | change)
    assert [error["loc"] for error in caught.value.errors()] == [tuple(change)]


def test_bounds_stand_in_the_document() -> None:
    schema = PlanRequest.model_json_schema()["properties"]["max_tokens"]["anyOf"][0]
    assert schema == {"type": "integer", "minimum": 1, "maximum": 4_096}


def test_numbers_are_of_one_kind() -> None:
    request = PlanRequest.model_validate(PLAN | {"seed": 5.0, "temperature": 1})
    assert (request.seed, request.temperature) == (5, 1.0)
    assert CreateTrajectory.model_validate({"instruction": "What is it?", "max_steps": 3.0}).max_steps == 3
