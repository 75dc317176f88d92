"""A number with its noun is singular or plural."""

from __future__ import annotations

import pytest

from alpha_umi.quantities import pluralize


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "step", "0 steps"),
        (1, "step", "1 step"),
        (1, "whole trajectory", "1 whole trajectory"),
        (2_000, "whole trajectory", "2,000 whole trajectories"),
    ],
)
def test_numbers_of_things(count: int, noun: str, text: str) -> None:
    assert pluralize(count, noun) == text
