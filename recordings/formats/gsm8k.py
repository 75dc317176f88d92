"""GSM8K: school mathematics with one tool that computes: an exact calculator, or Python (`load_python`).

Each line is `{"question", "answer"}`. The reference solution is prose with calculations, `<<48/2=24>>`, and ends in
`#### 24`. Each calculation is a step: the prose before it is the rationale, the tool is called with the expression, and
its actual result is the observation. The prose after the last calculation is the rationale of the conclusion. An answer
is correct if its last number equals the reference exactly.

The calculator evaluates `+ - * / // % **`, parentheses and decimal numbers as exact fractions, so that 0.1 + 0.2 is
0.3; an exponent is an integer. Expressions that could take long are refused before they are computed:

    ArithmeticRefused
    ├── NotArithmetic       the text is something else
    ├── TooLarge            the expression, an exponent or an intermediate number is out of bounds
    └── Undefined           a division by zero
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool, Turn
from recordings.reading import Entry, OnInvalid, Text, read_lines, reject
from recordings.sandbox import CODE, PYTHON, PythonSandbox
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids

CALCULATOR = Tool(
    "calculator",
    "Computes an arithmetic expression exactly.",
    {
        "type": "object",
        "properties": {
            "expression": {"type": "string", "description": "Numbers, + - * / // % ** and parentheses, such as 3*(4+5)"}
        },
        "required": ["expression"],
        "additionalProperties": False,
    },
)
WITHOUT_ANSWER = "a solution without a final number"
NOT_COMPUTED = "a calculation that is not arithmetic"
_FINAL = re.compile(r"\n?#### *(?P<answer>\S+)\s*$")
_CALCULATION = re.compile(r"<<(?P<expression>[^<>=]*)=[^<>]*>>")
# The last alternative is a number without thousands separators.
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)")


class Problem(Entry):
    """A line of the data."""

    question: Text
    answer: Text


@dataclass(frozen=True)
class ComputeTool:
    """The tool of the calls. `argument` is its parameter for the expression.

    `compute` returns the observation for an expression, and raises `ArithmeticRefused`.
    """

    tool: Tool
    argument: str
    compute: Callable[[str], str]


def load(path: Path, on_invalid: OnInvalid = reject, compute_tool: ComputeTool | None = None) -> Loaded:
    """The problems of a file as trajectories. Raises `DataError`."""
    compute_tool = compute_tool or ComputeTool(CALCULATOR, "expression", compute)
    problems = read_lines(path, Problem, on_invalid)
    excluded: Counter[str] = Counter()
    trajectories = []
    for name, problem in zip(content_ids(problem.question for problem in problems), problems, strict=True):
        result = _trajectory(name, problem, compute_tool)
        if isinstance(result, str):
            excluded[result] += 1
        else:
            trajectories.append(result)
    return Loaded(tuple(trajectories), dict(excluded))


def compute(expression: str) -> str:
    """The calculator's answer, as JSON text. Raises `ArithmeticRefused`."""
    return json.dumps({"result": format_decimal(evaluate(expression))}, separators=(",", ":"))


def final_number(answer: str) -> Fraction | None:
    """The last number of an answer, exactly; None if there is none."""
    numbers = _NUMBER.findall(answer)
    return Fraction(numbers[-1].replace(",", "")) if numbers else None


def is_right(answer: str | None, expected: str) -> bool:
    """Whether the last number of an answer is the expected one; False without an answer."""
    number = None if answer is None else final_number(answer)
    return number is not None and number == final_number(expected)


def _trajectory(name: str, problem: Problem, compute_tool: ComputeTool) -> RecordedTrajectory | str:
    final = _FINAL.search(problem.answer)
    if final is None or final_number(final["answer"]) is None:
        return WITHOUT_ANSWER
    try:
        steps = tuple(_steps(problem.answer[: final.start()], compute_tool))
    except ArithmeticRefused:
        return NOT_COMPUTED
    turns = (Turn("user", problem.question), *steps, Turn("conclusion", final["answer"]))
    return RecordedTrajectory(name, (compute_tool.tool,), turns, answer=final["answer"])


def _steps(solution: str, compute_tool: ComputeTool) -> Iterator[Turn]:
    end = 0
    for calculation in _CALCULATION.finditer(solution):
        yield Turn("planner", _plan(solution[end : calculation.start()], "caller"))
        yield Turn("caller", write_call(compute_tool.tool.name, {compute_tool.argument: calculation["expression"]}))
        yield Turn("observation", compute_tool.compute(calculation["expression"]))
        end = calculation.end()
    yield Turn("planner", _plan(solution[end:], "conclusion"))


def _plan(prose: str, decision: str) -> str:
    return write_plan(" ".join(prose.split()), "caller" if decision == "caller" else "conclusion").lstrip()


def load_python(path: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """As `load`, with calls of Python: each expression is the code, and its output the observation (`24.0` for 24)."""
    with PythonSandbox() as sandbox:

        def compute(expression: str) -> str:
            ran = sandbox.run(expression)
            if ran.failed:
                raise NotArithmetic(ran.text)
            return ran.text

        return load(path, on_invalid, ComputeTool(PYTHON, CODE, compute))


MAX_CHARACTERS: Final = 500
MAX_EXPONENT: Final = 64
# Of the numerator and the denominator of each number, intermediate ones too: about 300 decimal digits.
MAX_BITS: Final = 1_024
SHOWN_DECIMALS: Final = 10


class ArithmeticRefused(ValueError):
    """Base of the reasons not to compute an expression."""


class NotArithmetic(ArithmeticRefused):
    """The text is not an arithmetic expression."""


class TooLarge(ArithmeticRefused):
    """The expression, an exponent or an intermediate number is out of bounds."""


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
        raise NotArithmetic("the expression is not arithmetic that can be parsed") from error
    except ZeroDivisionError as error:
        raise Undefined("the expression divides by zero") from error


def format_decimal(value: Fraction) -> str:
    """A number in decimal notation, rounded to ten decimals."""
    if value.denominator == 1:
        return str(value.numerator)
    scaled = round(abs(value) * 10**SHOWN_DECIMALS)
    integer, decimals = divmod(scaled, 10**SHOWN_DECIMALS)
    text = f"{integer}.{decimals:0{SHOWN_DECIMALS}}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 and text != "0" else text


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise NotArithmetic("an exponent must be an integer")
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
    """A number, parsed exactly from its digits: a float would be rounded."""
    if not text.isascii() or set(text) - set("0123456789."):
        raise NotArithmetic("a number must be written in plain decimals")
    return Fraction(text if text.strip(".") == text else f"0{text}0")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLarge("an intermediate number is out of bounds")
    return value
