r"""MATH: competition problems with Python as the only tool, evaluated by their final answer.

Two layouts, both as published:

    a folder     SUBJECT/NUMBER.json, each {"problem", "level", "type", "solution"}          (hendrycks/math)
    a file       JSON lines {"problem", "solution", "answer", "subject", "level", "unique_id"}   (openai/prm800k)

The solutions are prose without executable calculations, so there are no steps: a trajectory is its problem and its
answer, which is in the last `\boxed{...}` of the solution.

Comparison of answers (`is_right`): `last_boxed_only_string` of modeling/dataset/util.py and `is_equiv` of
modeling/math_equivalence.py in hendrycks/math. Two answers are equal if their texts are after the rules of `normal`.
There is no algebra: `x+1` and `1+x` differ, so do `0.25` and `1/4`. As published:

- a text to which a rule cannot be applied (two units, a `\frac` or `\sqrt` at its end) is compared verbatim;
- of decimals only `0.5` is a fraction, and only integers are recognised in `a/b`;
- one or two characters before a single `=` are dropped, whatever they are.

The published programs ask for a `\boxed{...}` and count every other answer as wrong. A model that was not instructed to
box its answer writes a formula between dollar signs, or plain text: `answer_of` reads these as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from alpha_umi.roles.turns import Turn
from recordings.errors import REMEDY, NotTheFormat
from recordings.reading import (
    CUT_REMEDY,
    Entry,
    OnInvalid,
    Text,
    parse_each,
    parse_json,
    read_entry,
    read_lines,
    read_text,
    refuse_duplicates,
    reject,
)
from recordings.sandbox import PYTHON
from recordings.trajectory import Loaded, RecordedTrajectory

WITHOUT_ANSWER = "a solution without a boxed answer"


class Problem(Entry):
    """A problem. `answer` and `unique_id` are only in the layout of one file."""

    problem: Text
    solution: Text
    answer: str | None = None
    unique_id: Annotated[str, Field(min_length=1)] | None = None


def load(path: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """The problems of a folder or a file as trajectories. Raises `DataError`."""
    problems = _of_folder(path, on_invalid) if path.is_dir() else _of_file(path, on_invalid)
    parsed = [_trajectory(name, problem) for name, problem in problems]
    trajectories = tuple(each for each in parsed if each is not None)
    without = len(parsed) - len(trajectories)
    return Loaded(trajectories, {WITHOUT_ANSWER: without} if without else {})


def _of_file(path: Path, on_invalid: OnInvalid) -> Iterable[tuple[str, Problem]]:
    problems = read_lines(path, Problem, on_invalid)
    names = [each.unique_id or f"line-{number}" for number, each in enumerate(problems, start=1)]
    refuse_duplicates(names, f"{path}: problems")
    return zip(names, problems, strict=True)


def _of_folder(path: Path, on_invalid: OnInvalid) -> Iterable[tuple[str, Problem]]:
    files = sorted(path.glob("*/*.json"))
    if not files:
        raise NotTheFormat(f"{path} has no SUBJECT/NUMBER.json", remedy="put the folder of the subjects there")
    problems = parse_each(files, lambda file: (_name(file), _problem(file)), on_invalid)
    return list(problems)


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def _problem(file: Path) -> Problem:
    value = parse_json(read_text(file), str(file), cut_remedy=CUT_REMEDY, remedy=REMEDY)
    return read_entry(value, Problem, str(file))


def _trajectory(name: str, problem: Problem) -> RecordedTrajectory | None:
    answer = problem.answer if problem.answer is not None else boxed(problem.solution)
    if answer is None or not answer.strip():
        return None
    return RecordedTrajectory(name, (PYTHON,), (Turn("user", problem.problem),), answer=answer)


_BOXES: Final = (r"\boxed", r"\fbox")
_FORMULA: Final = re.compile(r"(?<!\\)\$\$?(?P<formula>.+?)(?<!\\)\$", re.DOTALL)
_DROPPED: Final = (r"\left", r"\right", r"^{\circ}", r"^\circ", r"\$")
_UNIT: Final = r"\text{ "
_RATIO: Final = re.compile(r"(?P<top>0|-?[1-9][0-9]*)/(?P<bottom>0|-?[1-9][0-9]*)")


class _NotNormal(ValueError):
    """A rule cannot be applied."""


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, else of the last `\fbox{...}`; None if there is none."""
    for box in _BOXES:
        start = text.rfind(box)
        if start >= 0:
            return _braced(text[start + len(box) :])
    return None


def answer_of(text: str) -> str:
    """The answer in a text: its last box, else its last formula, else the text without its full stop."""
    answer = boxed(text)
    if answer is not None:
        return answer
    formulas = [match["formula"] for match in _FORMULA.finditer(text)]
    return formulas[-1] if formulas else text.strip().removesuffix(".")


def is_right(answer: str | None, expected: str) -> bool:
    """Whether the answer in a text is the expected one; False without an answer."""
    return answer is not None and is_same(answer_of(answer), expected)


def is_same(one: str, other: str) -> bool:
    """Whether two answers are equal after the published rules."""
    try:
        return normal(one) == normal(other)
    except _NotNormal:
        return one == other


def normal(text: str) -> str:
    """The normal form of an answer. Raises `ValueError` if a rule cannot be applied."""
    text = text.replace("\n", "").replace(r"\!", "").replace(r"\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for what in _DROPPED:
        text = text.replace(what, "")
    # Twice, as published.
    text = _without_unit(text).replace(r"\%", "").replace(r"\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = f"0{text}"
    text = _braced_fractions(_braced_roots(_right_side(text)).replace(" ", ""))
    return _ratio(r"\frac{1}{2}" if text == "0.5" else text)


def _braced(text: str) -> str | None:
    """The content of the braces at the start of a text; None if there are none, or if they are not closed."""
    if not text.startswith("{"):
        return None
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:place]
    return None


def _without_unit(text: str) -> str:
    number, *units = text.split(_UNIT)
    if len(units) > 1:
        raise _NotNormal("there are two units")
    return number


def _right_side(text: str) -> str:
    sides = text.split("=")
    return sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text


def _braced_roots(text: str) -> str:
    first, *radicands = text.split(r"\sqrt")
    if "" in radicands:
        raise _NotNormal("a root without an argument")
    return first + "".join(
        r"\sqrt" + (each if each.startswith("{") else f"{{{each[0]}}}{each[1:]}") for each in radicands
    )


def _braced_fractions(text: str) -> str:
    r"""`\frac12` and `\frac1{72}` with all their braces."""
    first, *fractions = text.split(r"\frac")
    normalized = first
    for each in fractions:
        if not each:
            raise _NotNormal("a fraction without arguments")
        if not each.startswith("{"):
            if len(each) < 2:
                return text
            each = f"{{{each[0]}}}" + (each[1:] if each[1] == "{" else f"{{{each[1]}}}{each[2:]}")
        normalized += r"\frac" + each
    return normalized


def _ratio(text: str) -> str:
    ratio = _RATIO.fullmatch(text)
    return rf"\frac{{{ratio['top']}}}{{{ratio['bottom']}}}" if ratio else text
