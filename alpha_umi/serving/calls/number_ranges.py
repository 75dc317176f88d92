"""Regular expressions for numbers within bounds, in JSON's notation without exponents.

Each number range is one expression, because a lexer with a choice of tokens takes the longer one and misses the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

FRACTION_DIGITS = 6


def integers(low: int, high: int) -> str:
    """Integers from `low` to `high`, both included; `low` must not exceed `high`."""
    options = []
    if low < 0:
        options.append(f"-{_either(_natural(max(1, -high), -low))}")
    if high >= 0:
        options.append(_either(_natural(max(0, low), high)))
    return _either(options)


def decimals(low: Fraction, high: Fraction, *, digits: int = FRACTION_DIGITS) -> str:
    """Numbers from `low` to `high`, both included, with at most `digits` decimal digits; "" if there is none."""
    options = []
    if math.ceil(low) <= math.floor(high):
        options.append(integers(math.ceil(low), math.floor(high)))
    if high > 0:
        options += _fractions(max(low, Fraction(0)), high, digits)
    if low < 0:
        options += [f"-{option}" for option in _fractions(max(-high, Fraction(0)), -low, digits)]
    return _either(options) if options else ""


def _fractions(low: Fraction, high: Fraction, digits: int) -> Iterator[str]:
    """Non-negative numbers with a decimal point. The integer part of a fractional bound allows some fractions only."""
    first, last = math.ceil(low), math.floor(high) - 1
    if first <= last:
        yield f"{_either(_natural(first, last))}\\.[0-9]{{1,{digits}}}"
    for integer in sorted({math.floor(low), math.floor(high)} - {high}):
        if first <= integer <= last:
            continue
        least, most = max(low - integer, Fraction(0)), min(high - integer, Fraction(1))
        for width in range(1, digits + 1):
            bottom, top = math.ceil(least * 10**width), min(math.floor(most * 10**width), 10**width - 1)
            if bottom <= top:
                yield f"{integer}\\.{_same_width(str(bottom).zfill(width), str(top).zfill(width))}"


def _natural(low: int, high: int) -> list[str]:
    """One expression for each number of digits."""
    return [
        _same_width(str(max(low, 10 ** (width - 1) if width > 1 else 0)), str(min(high, 10**width - 1)))
        for width in range(len(str(low)), len(str(high)) + 1)
    ]


def _same_width(low: str, high: str) -> str:
    if low == high:
        return low
    if len(low) == 1:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return low[0] + _same_width(low[1:], high[1:])
    return _either(list(_by_first_digit(low, high)))


def _by_first_digit(low: str, high: str) -> Iterator[str]:
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        yield low[0] + _same_width(low[1:], "9" * rest)
        first += 1
    if high[1:] != "9" * rest:
        yield high[0] + _same_width("0" * rest, high[1:])
        last -= 1
    if first <= last:
        yield f"[{first}-{last}][0-9]{{{rest}}}"


def _either(options: list[str]) -> str:
    return options[0] if len(options) == 1 else f"({'|'.join(options)})"
