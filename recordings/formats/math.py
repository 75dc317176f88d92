r"""MATH: competition problems with Python as the only tool, told right from wrong by their final answer.

Two layouts, both as published:

    a folder     SUBJECT/NUMBER.json, each {"problem", "level", "type", "solution"}          (hendrycks/math)
    a file       JSON lines {"problem", "solution", "answer", "subject", "level", "unique_id"}   (openai/prm800k)

The solutions are prose without calculations that could be carried out, so there is no step to compare with: a
trajectory is its problem and its answer, which is in the last `\boxed{...}` of the solution. What a model may do on the
way is its own affair.
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
    OnBroken,
    Text,
    each_whole,
    parse_json,
    read_entry,
    read_lines,
    read_text,
    refuse,
    refuse_duplicates,
)
from recordings.sandbox import PYTHON
from recordings.trajectory import Loaded, RecordedTrajectory

WITHOUT_ANSWER = "a solution without a boxed answer"


class Problem(Entry):
    """A problem. Only a line of a file names its answer and itself."""

    problem: Text
    solution: Text
    answer: str | None = None
    unique_id: Annotated[str, Field(min_length=1)] | None = None


def load(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The problems of a folder or a file as trajectories. Raises `DataError`."""
    problems = _of_folder(path, on_broken) if path.is_dir() else _of_file(path, on_broken)
    found = [_trajectory(name, problem) for name, problem in problems]
    whole = tuple(each for each in found if each is not None)
    return Loaded(whole, {WITHOUT_ANSWER: len(found) - len(whole)} if len(whole) < len(found) else {})


def _of_file(path: Path, on_broken: OnBroken) -> Iterable[tuple[str, Problem]]:
    problems = read_lines(path, Problem, on_broken)
    names = [each.unique_id or f"line-{number}" for number, each in enumerate(problems, start=1)]
    refuse_duplicates(names, f"{path}: problems")
    return zip(names, problems, strict=True)


def _of_folder(path: Path, on_broken: OnBroken) -> Iterable[tuple[str, Problem]]:
    files = sorted(path.glob("*/*.json"))
    if not files:
        raise NotTheFormat(f"{path} has no SUBJECT/NUMBER.json", remedy="put the folder of the subjects there")
    problems = each_whole(files, lambda file: (_name(file), _problem(file)), on_broken)
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
    r"""What the last `\boxed{...}` holds, or, without any, the last `\fbox{...}`; None where there is none."""
    for box in _BOXES:
        start = text.rfind(box)
        if start >= 0:
            return _braced(text[start + len(box) :])
    return None


def answer_of(text: str) -> str:
    """The answer in a text: in its last box, else in its last formula, else the text itself without its full stop."""
    found = boxed(text)
    if found is not None:
        return found
    formulas = [match["formula"] for match in _FORMULA.finditer(text)]
    return formulas[-1] if formulas else text.strip().removesuffix(".")


def is_right(answer: str | None, expected: str) -> bool:
    """Whether the answer in a text is the expected one. No answer is wrong."""
    return answer is not None and is_same(answer_of(answer), expected)


def is_same(one: str, other: str) -> bool:
    """Whether two answers are the same after the published rules."""
    try:
        return normal(one) == normal(other)
    except _NotNormal:
        return one == other


def normal(text: str) -> str:
    """An answer as it is compared. Raises `ValueError` where a rule cannot be applied."""
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
    """What stands in the braces that a text begins with; None without them, or where they are not closed."""
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
        raise _NotNormal("a root has nothing under it")
    return first + "".join(
        r"\sqrt" + (each if each.startswith("{") else f"{{{each[0]}}}{each[1:]}") for each in radicands
    )


def _braced_fractions(text: str) -> str:
    r"""`\frac12` and `\frac1{72}` with all their braces."""
    first, *fractions = text.split(r"\frac")
    found = first
    for each in fractions:
        if not each:
            raise _NotNormal("a fraction has nothing in it")
        if not each.startswith("{"):
            if len(each) < 2:
                return text
            each = f"{{{each[0]}}}" + (each[1:] if each[1] == "{" else f"{{{each[1]}}}{each[2:]}")
        found += r"\frac" + each
    return found


def _ratio(text: str) -> str:
    ratio = _RATIO.fullmatch(text)
    return rf"\frac{{{ratio['top']}}}{{{ratio['bottom']}}}" if ratio else text
