"""Trajectories of the user's own, as the orchestrator shows them: a folder with two files.

- `trajectories.jsonl`: a trajectory a line, as `GET /v1/trajectories/{id}` answers and `alpha-umi show ID --json`
  prints (there over several lines, which may stay, one trajectory after the other);
- `tools.json`: the tools that were on offer, as `GET /v1/tools` answers and `alpha-umi tools --json` prints. A
  tool that the application executed itself is added by hand, with `name`, `description` and `parameters`.

A trajectory is a reference when it completed or gave up; the others are left out and counted. So are trajectories with
further messages of the user, whose places between the steps are not shown.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from alpha_umi.contract.trajectories import StepModel, Trajectory
from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool, Turn
from evaluation.errors import CutShort, NotTheFormat
from evaluation.files import parse_json, read_text, refuse_duplicates
from evaluation.suites.errors import REMEDY, DataMissing
from evaluation.suites.reading import Text, read_entry, read_json_entry
from evaluation.suites.recorded import Loaded, RecordedTrajectory

TRAJECTORIES, TOOLS = "trajectories.jsonl", "tools.json"
NO_REFERENCE = "a trajectory that neither completed nor gave up"
_NO_SPACE = re.compile(r"\S")
_DECODER = json.JSONDecoder()
SEVERAL_MESSAGES = "a trajectory with further messages of the user"


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


def load(folder: Path) -> Loaded:
    """The trajectories of a folder. Raises `EvaluationError`."""
    for path in files(folder):
        if not path.is_file():
            raise DataMissing(f"there is no file {path}", remedy=REMEDY)
    tools = read_tools(folder / TOOLS)
    found = read_trajectories(folder / TRAJECTORIES)
    reasons = [_left_out(trajectory) for trajectory in found]
    kept = [each for each, reason in zip(found, reasons, strict=True) if reason is None]
    trajectories = tuple(recorded(each, tools, f"{folder / TRAJECTORIES}, {each.id!r}") for each in kept)
    return Loaded(trajectories, dict(Counter(filter(None, reasons))))


def read_tools(path: Path) -> dict[str, Tool]:
    """The tools of a file by name. Raises `EvaluationError`."""
    value = parse_json(read_text(path), str(path), cut_remedy=REMEDY, remedy=REMEDY)
    listed = read_entry({"data": value} if isinstance(value, list) else value, Offer, str(path)).data
    refuse_duplicates([tool.name for tool in listed], f"{path}: tools")
    return {tool.name: Tool(tool.name, tool.description, tool.parameters) for tool in listed}


def read_trajectories(path: Path) -> list[Trajectory]:
    """The trajectories of a file, JSON values one after the other. Raises `EvaluationError`."""
    places = enumerate(_values(read_text(path), path), start=1)
    found = [read_json_entry(value, Trajectory, f"{path}, trajectory {place}") for place, value in places]
    refuse_duplicates([trajectory.id for trajectory in found], f"{path}: trajectories")
    return found


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
    yield from _step_turns(trajectory.steps)
    if trajectory.answer is not None:
        yield Turn("conclusion", trajectory.answer)


def _step_turns(steps: Sequence[StepModel]) -> Iterator[Turn]:
    for step in steps:
        yield Turn("planner", write_plan(step.thought, step.next).lstrip())
        if step.action is not None:
            yield Turn("caller", write_call(step.action.name, step.action.arguments))
        if step.observation is not None:
            yield Turn("observation", step.observation.content)


def _values(text: str, path: Path) -> Iterator[str]:
    """The texts of JSON values with white space between them."""
    start = _after_space(text, 0)
    while start < len(text):
        try:
            _, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, start) + 1
            _refuse(text[start:], f"{path}, from line {line} on,")
            raise
        yield text[start:end]
        start = _after_space(text, end)


def _after_space(text: str, start: int) -> int:
    found = _NO_SPACE.search(text, start)
    return len(text) if found is None else found.start()


def _refuse(text: str, place: str) -> None:
    """Raises the error that says what is wrong with the text."""
    try:
        parse_json(text, place, cut_remedy=REMEDY, remedy=REMEDY)
    except CutShort:
        raise
    except NotTheFormat as error:
        raise NotTheFormat(f"{place} is not JSON", remedy=REMEDY) from error
