"""GSM8K: school mathematics with one tool that computes, the calculator unless another is named.

A line of `{"question", "answer"}` each. The reference solution is prose with calculations, `<<48/2=24>>`, and ends in
`#### 24`. Here each calculation is a step: the prose before it is the rationale, the calculator is called with the
expression, and what it really computes is the observation. The prose after the last one is the rationale of the
conclusion. Whole trajectories are right when the last number of the answer is the reference's, exactly.
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
from recordings.reading import Entry, OnBroken, Text, read_lines, refuse
from recordings.sandbox import CODE, PYTHON, PythonSandbox
from recordings.trajectory import Loaded, RecordedTrajectory, ids_of

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
class Computing:
    """The tool that computes: `compute` makes its answer of an expression, which it takes as `argument`.

    `compute` raises `ArithmeticRefused`.
    """

    tool: Tool
    argument: str
    compute: Callable[[str], str]


def load(path: Path, on_broken: OnBroken = refuse, computing: Computing | None = None) -> Loaded:
    """The problems of a file as trajectories. Raises `DataError`."""
    computing = computing or Computing(CALCULATOR, "expression", compute)
    problems = read_lines(path, Problem, on_broken)
    left_out: Counter[str] = Counter()
    trajectories = []
    for name, problem in zip(ids_of(problem.question for problem in problems), problems, strict=True):
        found = _trajectory(name, problem, computing)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            trajectories.append(found)
    return Loaded(tuple(trajectories), dict(left_out))


def compute(expression: str) -> str:
    """What the calculator answers, as JSON text. Raises `ArithmeticRefused`."""
    return json.dumps({"result": written(evaluate(expression))}, separators=(",", ":"))


def final_number(answer: str) -> Fraction | None:
    """The last number of an answer, exactly; None where there is none."""
    found = _NUMBER.findall(answer)
    return Fraction(found[-1].replace(",", "")) if found else None


def is_right(answer: str | None, expected: str) -> bool:
    """Whether an answer's last number is the expected one. No answer is wrong."""
    found = None if answer is None else final_number(answer)
    return found is not None and found == final_number(expected)


def _trajectory(name: str, problem: Problem, computing: Computing) -> RecordedTrajectory | str:
    final = _FINAL.search(problem.answer)
    if final is None or final_number(final["answer"]) is None:
        return WITHOUT_ANSWER
    try:
        steps = tuple(_steps(problem.answer[: final.start()], computing))
    except ArithmeticRefused:
        return NOT_COMPUTED
    turns = (Turn("user", problem.question), *steps, Turn("conclusion", final["answer"]))
    return RecordedTrajectory(name, (computing.tool,), turns, answer=final["answer"])


def _steps(solution: str, computing: Computing) -> Iterator[Turn]:
    end = 0
    for calculation in _CALCULATION.finditer(solution):
        yield Turn("planner", _plan(solution[end : calculation.start()], "caller"))
        yield Turn("caller", write_call(computing.tool.name, {computing.argument: calculation["expression"]}))
        yield Turn("observation", computing.compute(calculation["expression"]))
        end = calculation.end()
    yield Turn("planner", _plan(solution[end:], "conclusion"))


def _plan(prose: str, decision: str) -> str:
    return write_plan(" ".join(prose.split()), "caller" if decision == "caller" else "conclusion").lstrip()


def load_python(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The problems of a file as trajectories. Raises `DataError`."""
    with PythonSandbox() as sandbox:

        def compute(expression: str) -> str:
            ran = sandbox.run(expression)
            if ran.failed:
                raise NotArithmetic(ran.text)
            return ran.text

        return load(path, on_broken, Computing(PYTHON, CODE, compute))


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
