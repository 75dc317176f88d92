"""Trajectories of the user's own, as the orchestrator shows them: a folder with two files.

- `trajectories.jsonl`: a trajectory a line, as `GET /v1/trajectories/{id}` answers and `alpha-umi show ID --json`
  prints (there over several lines, which may stay, one trajectory after the other);
- `tools.json`: the tools that were on offer, as `GET /v1/tools` answers and `alpha-umi tools --json` prints. A
  tool that the application executed itself is added by hand, with `name`, `description` and `parameters`.

A trajectory is a reference when it completed or gave up; the others are left out and counted. So are trajectories with
further messages of the user, whose places between the steps are not shown. What is broken is named by its line; after
text that is no JSON the next trajectory is looked for at the start of a line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool, Turn
from evaluation.errors import CutShort, NotTheFormat
from evaluation.files.jsonl import parse_json, read_text, refuse_duplicates
from evaluation.suites.errors import REMEDY, DataMissing
from evaluation.suites.reading import OnBroken, Text, each_whole, read_entry, read_json_entry, refuse
from evaluation.suites.recorded import Loaded, RecordedTrajectory

TRAJECTORIES, TOOLS = "trajectories.jsonl", "tools.json"
NO_REFERENCE = "a trajectory that neither completed nor gave up"
TWICE = "leave one of them"
SEVERAL_MESSAGES = "a trajectory with further messages of the user"
_NO_SPACE = re.compile(r"\S")
_NEXT = re.compile(r"^\{", re.MULTILINE)
_DECODER = json.JSONDecoder()


class OfferedTool(BaseModel):
    """A tool; who executes it does not matter here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Text
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Offer(BaseModel):
    """The file of tools."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    data: list[OfferedTool]


def files(folder: Path) -> list[Path]:
    """The files of a folder."""
    return [folder / TRAJECTORIES, folder / TOOLS]


@dataclass(frozen=True)
class _Piece:
    """The text of a JSON value, or what stands where one should be, and the line it begins on."""

    line: int
    text: str
    is_json: bool


def load(folder: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The trajectories of a folder. Raises `EvaluationError`."""
    for path in files(folder):
        if not path.is_file():
            raise DataMissing(f"there is no file {path}", remedy=REMEDY)
    path, tools = folder / TRAJECTORIES, read_tools(folder / TOOLS)
    found = list(read_trajectories(path, on_broken))
    reasons = [_left_out(trajectory) for _, trajectory in found]
    kept = [each for each, reason in zip(found, reasons, strict=True) if reason is None]

    def made(placed: tuple[int, Trajectory]) -> RecordedTrajectory:
        return recorded(placed[1], tools, _place(path, placed[0]))

    return Loaded(tuple(each_whole(kept, made, on_broken)), dict(Counter(filter(None, reasons))))


def read_tools(path: Path) -> dict[str, Tool]:
    """The tools of a file by name. Raises `EvaluationError`."""
    value = parse_json(read_text(path), str(path), cut_remedy=REMEDY, remedy=REMEDY)
    listed = read_entry({"data": value} if isinstance(value, list) else value, Offer, str(path)).data
    refuse_duplicates([tool.name for tool in listed], f"{path}: tools")
    return {tool.name: Tool(tool.name, tool.description, tool.parameters) for tool in listed}


def read_trajectories(path: Path, on_broken: OnBroken = refuse) -> Iterator[tuple[int, Trajectory]]:
    """The trajectories of a file with the line each begins on, JSON values one after the other.

    Raises `EvaluationError`.
    """
    lines: dict[str, int] = {}

    def made(piece: _Piece) -> tuple[int, Trajectory]:
        place = _place(path, piece.line)
        trajectory = read_json_entry(_json(piece, place), Trajectory, place)
        if trajectory.id in lines:
            before = lines[trajectory.id]
            raise NotTheFormat(f"{place}: the trajectory {trajectory.id!r} is on line {before}, too", remedy=TWICE)
        lines[trajectory.id] = piece.line
        return piece.line, trajectory

    return each_whole(_pieces(read_text(path)), made, on_broken)


def recorded(trajectory: Trajectory, tools: Mapping[str, Tool], place: str) -> RecordedTrajectory:
    """A trajectory of the orchestrator with the tools it had on offer. Raises `NotTheFormat` if one is not known."""
    unknown = [name for name in trajectory.tools if name not in tools]
    if unknown:
        raise NotTheFormat(f"{place}: {TOOLS} has no tool {unknown[0]!r}", remedy=f"add it; {REMEDY}")
    offered = tuple(tools[name] for name in trajectory.tools)
    return RecordedTrajectory(trajectory.id, offered, tuple(_turns(trajectory)))


def _left_out(trajectory: Trajectory) -> str | None:
    if trajectory.status not in ("completed", "gave_up"):
        return NO_REFERENCE
    return SEVERAL_MESSAGES if sum(message.role == "user" for message in trajectory.messages) > 1 else None


def _turns(trajectory: Trajectory) -> Iterator[Turn]:
    yield Turn("user", trajectory.instruction)
    # Of a search the branch of the answer: what was said on the others is not in its history.
    yield from _step_turns([step for step in trajectory.steps if not step.abandoned])
    if trajectory.answer is not None:
        yield Turn("conclusion", trajectory.answer)


def _step_turns(steps: Sequence[StepModel]) -> Iterator[Turn]:
    for step in steps:
        yield Turn("planner", write_plan(step.thought, step.next).lstrip())
        if step.action is not None:
            yield Turn("caller", write_call(step.action.name, step.action.arguments))
        if step.observation is not None:
            yield Turn("observation", step.observation.content)


def _pieces(text: str) -> Iterator[_Piece]:
    """JSON values with white space between them, and what is none: all up to a line that begins a value."""
    end, line = 0, 1
    while (found := _NO_SPACE.search(text, end)) is not None:
        start = found.start()
        line += text.count("\n", end, start)
        try:
            _, end = _DECODER.raw_decode(text, start)
            is_json = True
        except (ValueError, RecursionError):
            following = _NEXT.search(text, start + 1)
            end, is_json = len(text) if following is None else following.start(), False
        yield _Piece(line, text[start:end], is_json)
        line += text.count("\n", start, end)


def _json(piece: _Piece, place: str) -> str:
    """The text of a piece. Raises `NotTheFormat` if it is no JSON."""
    if piece.is_json:
        return piece.text
    try:
        parse_json(piece.text, place, cut_remedy=REMEDY, remedy=REMEDY)
    except CutShort:
        raise
    except NotTheFormat as error:
        raise NotTheFormat(f"{place} is not JSON", remedy=REMEDY) from error
    return piece.text


def _place(path: Path, line: int) -> str:
    return f"{path}, line {line}"
