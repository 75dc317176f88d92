"""Expressions of number ranges against the numbers themselves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.caller.number_ranges import decimals, integers

NUMBERS = st.integers(-(10**15) + 1, 10**15 - 1)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_integers_are_those_between_the_bounds(one: int, other: int, number: int) -> None:
    low, high = sorted((one, other))
    expression = re.compile(integers(low, high))
    for candidate in (number, low, high, low - 1, high + 1, 0):
        assert bool(expression.fullmatch(str(candidate))) == (low <= candidate <= high)
    assert not expression.fullmatch("-0")
    assert not expression.fullmatch(f"0{abs(number)}")


@pytest.mark.parametrize(("low", "high"), [(0, 0), (-3, 12), (95, 105), (-105, -95), (999, 1000), (-1, 0)])
def test_small_ranges_completely(low: int, high: int) -> None:
    expression = re.compile(integers(low, high))
    assert [n for n in range(-1_200, 1_200) if expression.fullmatch(str(n))] == list(range(low, high + 1))


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.decimals(-1_000_000, 1_000_000, places=3))
def test_decimals_stay_within_bounds_that_hold_a_whole_number(one: float, other: float, number: object) -> None:
    low, high = sorted((one, other))
    text = str(number)
    if re.fullmatch(decimals(low, high), text) and int(low) != int(high):
        assert low - 1e-9 <= float(text) <= high + 1e-9


@pytest.mark.parametrize("text", ["0", "0.5", "1", "0.000001"])
def test_a_share(text: str) -> None:
    assert re.fullmatch(decimals(0, 1), text)


@pytest.mark.parametrize("text", ["-0.5", "1.5", "1.0", "2", "0.0000001", ".5", "1.", "1e3", "00"])
def test_no_share(text: str) -> None:
    assert not re.fullmatch(decimals(0, 1), text)


def test_between_two_whole_numbers() -> None:
    assert re.fullmatch(decimals(0.2, 0.8), "0.5")
    assert re.fullmatch(decimals(-0.8, -0.2), "-0.5")
