"""Trajectories of an orchestrator: a folder with two files.

- `trajectories.jsonl`: one trajectory a line, as `GET /v1/trajectories/{id}` returns and `alpha-umi show ID --json`
  prints. A trajectory may also span several lines;
- `tools.json`: the offered tools, as `GET /v1/tools` returns and `alpha-umi tools --json` prints. A client tool is
  added by hand, with `name`, `description` and `parameters`.

A trajectory is a reference if it completed or gave up; others are excluded and counted. Trajectories with further
messages of the user are excluded too, because their position among the steps is unknown. Errors name the line.
After text that is not JSON, parsing continues at the next line that starts with `{`.
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
from recordings.errors import REMEDY, CutShort, DataMissing, NotTheFormat
from recordings.reading import (
    OnInvalid,
    Text,
    parse_each,
    parse_json,
    read_entry,
    read_json_entry,
    read_text,
    refuse_duplicates,
    reject,
)
from recordings.trajectory import Loaded, RecordedTrajectory

TRAJECTORIES, TOOLS = "trajectories.jsonl", "tools.json"
NO_REFERENCE = "a trajectory that neither completed nor gave up"
REMOVE_ONE = "leave one of them"
SEVERAL_MESSAGES = "a trajectory with further messages of the user"
_NO_SPACE = re.compile(r"\S")
_NEXT = re.compile(r"^\{", re.MULTILINE)
_DECODER = json.JSONDecoder()


class OfferedTool(BaseModel):
    """A tool, executed by the orchestrator or by the client."""

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
    """The text of a JSON value, or of invalid JSON, with the number of its first line."""

    line: int
    text: str
    is_json: bool


def load(folder: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """The trajectories of a folder. Raises `DataError`."""
    for path in files(folder):
        if not path.is_file():
            raise DataMissing(f"there is no file {path}", remedy=REMEDY)
    path, tools = folder / TRAJECTORIES, read_tools(folder / TOOLS)
    placed = list(read_trajectories(path, on_invalid))
    reasons = [_exclusion(trajectory) for _, trajectory in placed]
    references = [each for each, reason in zip(placed, reasons, strict=True) if reason is None]

    def to_recorded(placed: tuple[int, Trajectory]) -> RecordedTrajectory:
        return recorded(placed[1], tools, _place(path, placed[0]))

    return Loaded(tuple(parse_each(references, to_recorded, on_invalid)), dict(Counter(filter(None, reasons))))


def read_tools(path: Path) -> dict[str, Tool]:
    """The tools of a file by name. Raises `DataError`."""
    value = parse_json(read_text(path), str(path), cut_remedy=REMEDY, remedy=REMEDY)
    listed = read_entry({"data": value} if isinstance(value, list) else value, Offer, str(path)).data
    refuse_duplicates([tool.name for tool in listed], f"{path}: tools")
    return {tool.name: Tool(tool.name, tool.description, tool.parameters) for tool in listed}


def read_trajectories(path: Path, on_invalid: OnInvalid = reject) -> Iterator[tuple[int, Trajectory]]:
    """The trajectories of a file, each with the number of its first line.

    Raises `DataError`.
    """
    lines: dict[str, int] = {}

    def to_recorded(piece: _Piece) -> tuple[int, Trajectory]:
        place = _place(path, piece.line)
        trajectory = read_json_entry(_json(piece, place), Trajectory, place)
        if trajectory.id in lines:
            before = lines[trajectory.id]
            raise NotTheFormat(f"{place}: the trajectory {trajectory.id!r} is also on line {before}", remedy=REMOVE_ONE)
        lines[trajectory.id] = piece.line
        return piece.line, trajectory

    return parse_each(_pieces(read_text(path)), to_recorded, on_invalid)


def recorded(trajectory: Trajectory, tools: Mapping[str, Tool], place: str) -> RecordedTrajectory:
    """A trajectory of the orchestrator with its offered tools. Raises `NotTheFormat` if `tools` lacks one."""
    unknown = [name for name in trajectory.tools if name not in tools]
    if unknown:
        raise NotTheFormat(f"{place}: {TOOLS} has no tool {unknown[0]!r}", remedy=f"add it; {REMEDY}")
    offered = tuple(tools[name] for name in trajectory.tools)
    return RecordedTrajectory(trajectory.id, offered, tuple(_turns(trajectory)))


def _exclusion(trajectory: Trajectory) -> str | None:
    if trajectory.status not in ("completed", "gave_up"):
        return NO_REFERENCE
    return SEVERAL_MESSAGES if sum(message.role == "user" for message in trajectory.messages) > 1 else None


def _turns(trajectory: Trajectory) -> Iterator[Turn]:
    yield Turn("user", trajectory.instruction)
    # Of a search only the branch of the answer: other branches are not in its history.
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
    """JSON values separated by white space. Invalid text extends up to the next line that begins a value."""
    end, line = 0, 1
    while (match := _NO_SPACE.search(text, end)) is not None:
        start = match.start()
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
    """The text of a piece. Raises `NotTheFormat` if it is not JSON."""
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
