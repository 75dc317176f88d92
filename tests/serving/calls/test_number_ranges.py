"""Expressions of number ranges against the numbers themselves."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.serving.calls.number_ranges import decimals, integers

NUMBERS = st.integers(-(10**15) + 1, 10**15 - 1)


@settings(derandomize=True, deadline=None)
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


@settings(derandomize=True, deadline=None)
@given(
    st.decimals(-30, 30, places=3),
    st.decimals(-30, 30, places=3),
    st.decimals(-30, 30, places=2),
    st.integers(0, 3),
)
def test_decimals_are_exactly_those_between_the_bounds(
    one: Decimal, other: Decimal, number: Decimal, digits: int
) -> None:
    low, high = sorted((one, other))
    expression = re.compile(decimals(Fraction(low), Fraction(high), digits=3) or "nothing")
    for candidate in (number, low, high, round(low, digits), round(high, digits)):
        text = f"{candidate:f}"
        integer_bound = candidate in (low, high) and candidate == int(candidate)
        if not integer_bound and candidate:  # these are written without a point
            assert bool(expression.fullmatch(text)) == (low <= candidate <= high), text


@pytest.mark.parametrize("text", ["0", "0.5", "1", "0.000001"])
def test_a_share(text: str) -> None:
    assert re.fullmatch(decimals(Fraction(0), Fraction(1)), text)


@pytest.mark.parametrize("text", ["-0.5", "1.5", "1.0", "2", "0.0000001", ".5", "1.", "1e3", "00"])
def test_no_share(text: str) -> None:
    assert not re.fullmatch(decimals(Fraction(0), Fraction(1)), text)


@pytest.mark.parametrize(("low", "high"), [("0.2", "0.8"), ("-0.8", "-0.2"), ("-0.2", "0.8")])
def test_between_two_integers(low: str, high: str) -> None:
    expression = re.compile(decimals(Fraction(low), Fraction(high)))
    texts = [f"{n / 10:.1f}" for n in range(-20, 20) if n]
    assert [t for t in texts if expression.fullmatch(t)] == [t for t in texts if float(low) <= float(t) <= float(high)]


def test_no_number_between_the_bounds() -> None:
    assert decimals(Fraction("0.11"), Fraction("0.12"), digits=1) == ""
