"""ToolAlpaca's evaluation: a judge compares a solution with the golden calls.

As `evaluation.py` of tangqiaoyu/ToolAlpaca, including the misspelling in the prompt. There a solution without a call is
not judged, and counts as wrong in both labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from alpha_umi.contract.trajectories import Trajectory
from evaluation.judge.case import Case, GoldenSolution, Labels
from evaluation.judge.questions import JudgeSession
from recordings.formats.toolalpaca_golden import Api
from recordings.reading import read_list

ANSWERS: Final = ("Yes", "No", "Uncertain")
NO_CALL: Final = "No call"
PARTS: Final[Mapping[str, str]] = {"process": "Process Correctness", "response": "Final Response Correctness"}


class JudgedApi(Api):
    """The description of an API."""

    documentation: Annotated[str, Field(alias="NLDocumentation")]


async def toolalpaca(session: JudgeSession, case: Case, repeat: int, labels: Labels) -> None:
    """Whether the process and the response are right: `process` and `response`, each Yes, No or Uncertain."""
    if case.candidate is None or case.golden is None:
        raise ValueError(f"{case.recorded} has no trajectory, or no golden calls")
    if not _calls(case.candidate):
        labels |= dict.fromkeys(PARTS, NO_CALL)
        return
    values = {
        "documentation": case.golden.documentation,
        "instruction": case.instruction,
        "standard": _standard(case.golden),
        "solution": _solution(case.candidate),
    }
    labels |= json.loads(await session.ask("evaluate", _read, values))


def golden_solutions(path: Path) -> dict[str, GoldenSolution]:
    """The golden calls and API of each instruction of a ToolAlpaca file. Raises `EvaluationError`."""
    solutions: dict[str, GoldenSolution] = {}
    for api in read_list(path, JudgedApi):
        for instruction, calls in zip(api.instructions, api.answers, strict=False):
            known = GoldenSolution(api.documentation, [(call.action, call.action_input) for call in calls])
            solutions.setdefault(instruction, known)
    return solutions


def _read(text: str) -> str | None:
    """Both labels, as JSON; None if either has another value."""
    results = text.split("## Results", 1)[-1]
    words = {part: re.search(rf"{title}: (\w+)", results) for part, title in PARTS.items()}
    labels = {part: match[1] for part, match in words.items() if match and match[1] in ANSWERS}
    return json.dumps(labels) if len(labels) == len(PARTS) else None


def _standard(golden: GoldenSolution) -> str:
    numbered = enumerate(golden.calls, start=1)
    return "".join(f"{number}. Function: {name}\nParameters: {given}\n" for number, (name, given) in numbered)


def _solution(trajectory: Trajectory) -> str:
    calls = _calls(trajectory)
    shown = "".join(
        f"{number}. Function: {name}\nParameters: {given}\nRetruns: {returned}\n"
        for number, (name, given, returned) in enumerate(calls, start=1)
    )
    return f"{shown}{len(calls) + 1}. Final Response: {trajectory.answer or ''}"


def _calls(trajectory: Trajectory) -> list[tuple[str, str, str]]:
    return [
        (
            step.action.name,
            json.dumps(step.action.arguments),
            "" if step.observation is None else step.observation.content,
        )
        for step in trajectory.steps
        if step.action is not None and not step.abandoned
    ]
