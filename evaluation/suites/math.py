r"""MATH: competition problems with Python as the only tool, told right from wrong by their final answer.

Two layouts, both as published:

    a folder     SUBJECT/NUMBER.json, each {"problem", "level", "type", "solution"}          (hendrycks/math)
    a file       JSON lines {"problem", "solution", "answer", "subject", "level", "unique_id"}   (openai/prm800k)

The solutions are prose without calculations that could be carried out, so there is no step to compare with: a
trajectory is its problem and its answer, which is in the last `\boxed{...}` of the solution. What a model may do on the
way is its own affair.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from alpha_umi.roles.turns import Turn
from evaluation.errors import NotTheFormat
from evaluation.files.jsonl import parse_json, read_text, refuse_duplicates
from evaluation.suites.errors import REMEDY
from evaluation.suites.math_answers import boxed
from evaluation.suites.python_tool import PYTHON
from evaluation.suites.reading import CUT_REMEDY, Entry, OnBroken, Text, each_whole, read_entry, read_lines, refuse
from evaluation.suites.recorded import Loaded, RecordedTrajectory

WITHOUT_ANSWER = "a solution without a boxed answer"


class Problem(Entry):
    """A problem. Only a line of a file names its answer and itself."""

    problem: Text
    solution: Text
    answer: str | None = None
    unique_id: Annotated[str, Field(min_length=1)] | None = None


def load(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The problems of a folder or a file as trajectories. Raises `EvaluationError`."""
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
