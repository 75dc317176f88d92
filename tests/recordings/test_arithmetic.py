from __future__ import annotations

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordings.formats.gsm8k import ArithmeticRefused, NotArithmetic, TooLarge, Undefined, evaluate, format_decimal


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("48/2", "24"),
        (" 0.1+0.2 ", "0.3"),
        ("20*.01", "0.2"),
        ("1/3", "0.3333333333"),
        ("-2**2", "-4"),
        ("2**-2", "0.25"),
        ("(3+4)*5 - 6", "29"),
        ("7//2 + 7%4", "6"),
        ("-1/10000000000000", "0"),
        ("100.", "100"),
        ("012", None),
        ("10/4.0", "2.5"),
    ],
)
def test_computed_exactly(expression: str, result: str | None) -> None:
    if result is None:
        with pytest.raises(NotArithmetic):
            evaluate(expression)
    else:
        assert format_decimal(evaluate(expression)) == result


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x+1",
        "__import__('os')",
        "1;2",
        "[1]",
        "1 if 1 else 2",
        "'a'*3",
        "True",
        "1e9",
        "0x10",
        "1_000",
        "1j",
        "2**0.5",
        "1 < 2",
        "a.b",
        "f(1)",
        "(",
        "lambda: 1",
        "1\x00",
        "٣+1",
        "not 1",
        "~1",
        "1<<2",
        "1 @ 2",
    ],
)
def test_nothing_but_arithmetic(expression: str) -> None:
    with pytest.raises(NotArithmetic):
        evaluate(expression)


@pytest.mark.parametrize(
    "expression", ["9**9**9", "2**65", "(2**64)**64", "1" * 501, "9" * 400, "*".join(["9" * 40] * 12), "2**-65"]
)
def test_out_of_bounds_at_once(expression: str) -> None:
    begun = time.process_time()
    with pytest.raises(TooLarge):
        evaluate(expression)
    assert time.process_time() - begun < 0.5


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ArithmeticRefused):
        evaluate("(" * 240 + "1" + ")" * 240)


@pytest.mark.parametrize("expression", ["1/0", "1%0", "1//(2-2)", "0**-1"])
def test_division_by_zero(expression: str) -> None:
    with pytest.raises(Undefined):
        evaluate(expression)


@given(st.text(max_size=40))
def test_any_text_is_computed_or_refused(text: str) -> None:
    with contextlib.suppress(ArithmeticRefused):
        assert isinstance(evaluate(text), Fraction)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4))
def test_agrees_with_fractions(numerator: int, denominator: int) -> None:
    assert evaluate(f"{numerator}/{denominator}") == Fraction(numerator, denominator)
