"""Arithmetic that a model writes, evaluated exactly and within bounds: no names, no calls, no code.

`+ - * / // % **`, parentheses and decimal numbers; an exponent is a whole number. Numbers are exact fractions, so that
0.1 + 0.2 is 0.3. Whatever could take long is refused before it is computed.

    ArithmeticRefused
    ├── NotArithmetic       the text is something else
    ├── TooLarge            the expression, an exponent or a number on the way is out of bounds
    └── Undefined           a division by zero
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from fractions import Fraction
from typing import Final

MAX_CHARACTERS: Final = 500
MAX_EXPONENT: Final = 64
# Of numerator and denominator each, on the way and at the end: about 300 decimal digits.
MAX_BITS: Final = 1_024
SHOWN_DECIMALS: Final = 10


class ArithmeticRefused(ValueError):
    """Base of what is not computed."""


class NotArithmetic(ArithmeticRefused):
    """The text is something else."""


class TooLarge(ArithmeticRefused):
    """Out of bounds."""


class Undefined(ArithmeticRefused):
    """A division by zero."""


def evaluate(expression: str) -> Fraction:
    """The exact value. Raises `ArithmeticRefused`."""
    if len(expression) > MAX_CHARACTERS:
        raise TooLarge(f"the expression has {len(expression)} characters; at most {MAX_CHARACTERS} are read")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        return _value(tree.body, expression.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ArithmeticRefused):
            raise
        raise NotArithmetic("the expression is not arithmetic that can be read") from error
    except ZeroDivisionError as error:
        raise Undefined("the expression divides by zero") from error


def written(value: Fraction) -> str:
    """A number in plain decimals: exact where ten decimals are enough, otherwise rounded to them."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(abs(value) * 10**SHOWN_DECIMALS)
    whole, decimals = divmod(scaled, 10**SHOWN_DECIMALS)
    text = f"{whole}.{decimals:0{SHOWN_DECIMALS}}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 and text != "0" else text


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise NotArithmetic("an exponent must be a whole number")
    if abs(exponent.numerator) > MAX_EXPONENT:
        raise TooLarge(f"an exponent is larger than {MAX_EXPONENT}")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > 2 * MAX_BITS:
        raise TooLarge("a power is out of bounds")
    return Fraction(base**exponent.numerator)


_BINARY: Final[dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: lambda left, right: left % right,
    ast.Pow: _power,
}


def _value(node: ast.expr, source: str) -> Fraction:
    match node:
        case ast.Constant():
            value = _number(ast.get_source_segment(source, node) or "")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            value = _value(operand, source)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
            value = _BINARY[type(operator)](_value(left, source), _value(right, source))
        case _:
            raise NotArithmetic("only numbers, + - * / // % ** and parentheses can be computed")
    return _bounded(value)


def _number(text: str) -> Fraction:
    """A number as it was written: a float would have rounded it already."""
    if not text.isascii() or set(text) - set("0123456789."):
        raise NotArithmetic("a number must be written in plain decimals")
    return Fraction(text if text.strip(".") == text else f"0{text}0")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("a number on the way is out of bounds")
    return value
