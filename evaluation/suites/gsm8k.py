"""GSM8K: school mathematics with one tool that computes, the calculator unless another is named.

A line of `{"question", "answer"}` each. The reference solution is prose with calculations, `<<48/2=24>>`, and ends in
`#### 24`. Here each calculation is a step: the prose before it is the rationale, the calculator is called with the
expression, and what it really computes is the observation. The prose after the last one is the rationale of the
conclusion. Whole trajectories are right when the last number of the answer is the reference's, exactly.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool, Turn
from evaluation.suites.arithmetic import ArithmeticRefused, evaluate, written
from evaluation.suites.naming import ids_of
from evaluation.suites.reading import Entry, OnBroken, Text, read_lines, refuse
from evaluation.suites.recorded import Loaded, RecordedTrajectory

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
    """The problems of a file as trajectories. Raises `EvaluationError`."""
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
