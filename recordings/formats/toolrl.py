"""ToolRL: single steps of dialogues, a JSON list of `{"instruction", "input", "output"}`.

The instruction lists the tools, the input is the dialogue so far, the output the next step:

    <think> … </think> <tool_call> a call a line </tool_call> <response> … </response>

Observations stand in the dialogue as `<obs> [{"name", "results"}] </obs>`. Of parallel calls in the last step only the
first is read, because its observation is unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from alpha_umi.roles.turns import Tool, Turn
from recordings.errors import NotTheFormat
from recordings.reading import CUT_REMEDY, Entry, OnInvalid, Text, parse_each, parse_json, read_entry, read_list
from recordings.schemas import tool
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import NO_START, NO_TOOLS, SourceCall, call_turns, conclusion_turns

_HEAD: Final = "**Dialogue Records History**"
_TOOL = re.compile(
    r"^\d+\. Name: (?P<name>[^\n]+)\nDescription: (?P<description>.*?)\nParameters: (?P<parameters>\{[^\n]*\})$",
    re.DOTALL | re.MULTILINE,
)
_PART = re.compile(r"<(?P<kind>user|think|tool_call|obs|response)>(?P<text>.*?)</(?P=kind)>", re.DOTALL)


class Step(Entry):
    """A step with its history."""

    instruction: Text
    input: Text
    output: Text


class WrittenCall(Entry):
    """A call."""

    name: Text
    parameters: dict[str, Any] = Field(default_factory=dict)


def load(path: Path, on_invalid: OnInvalid) -> Loaded:
    """The steps of a file, each the end of a trajectory of its own. Raises `DataError`."""
    places = enumerate(read_list(path, Step, on_invalid), start=1)
    steps = list(parse_each(places, lambda entry: _read(entry[1], f"{path}, step {entry[0]}"), on_invalid))
    started = [(tools, turns) for tools, turns in steps if turns and turns[0].role == "user"]
    offered = [(tools, turns) for tools, turns in started if tools]
    names = content_ids(turns[0].content for _, turns in offered)
    trajectories = (RecordedTrajectory(name, tools, turns) for name, (tools, turns) in zip(names, offered, strict=True))
    counts = {NO_START: len(steps) - len(started), NO_TOOLS: len(started) - len(offered)}
    return Loaded(tuple(trajectories), {reason: count for reason, count in counts.items() if count})


def _read(step: Step, place: str) -> tuple[tuple[Tool, ...], tuple[Turn, ...]]:
    text = step.input.partition(_HEAD)[2] + step.output
    parts = [(match["kind"], match["text"].strip()) for match in _PART.finditer(text)]
    return _tools(step.instruction, place), tuple(_turns(parts, place))


def _tools(text: str, place: str) -> tuple[Tool, ...]:
    listed = []
    for match in _TOOL.finditer(text):
        parameters = parse_json(match["parameters"], f"{place}, parameters", cut_remedy=CUT_REMEDY)
        listed.append(tool(match["name"].strip(), match["description"].strip(), parameters))
    return tuple({each.name: each for each in listed}.values())


def _turns(parts: Sequence[tuple[str, str]], place: str) -> Iterator[Turn]:
    thought = ""
    for number, (kind, text) in enumerate(parts):
        following = parts[number + 1] if number + 1 < len(parts) else ("", "")
        match kind:
            case "user":
                yield Turn("user", text)
            case "think":
                thought = text
            case "tool_call":
                calls = _calls(text, following[1] if following[0] == "obs" else None, place)
                yield from call_turns(thought, calls)
                thought = ""
                if calls and calls[0].observation is None:
                    # An answer may follow a call without an observation.
                    return
            case "response":
                yield from conclusion_turns(thought, text)
                thought = ""


def _calls(text: str, observed: str | None, place: str) -> list[SourceCall]:
    lines = [line for line in text.split("\n") if line.strip()]
    calls = [read_entry(_json(line, place), WrittenCall, f"{place}, call") for line in lines]
    if observed is None:
        return [SourceCall(call.name, call.parameters) for call in calls]
    results = _results(observed, len(calls))
    return [SourceCall(call.name, call.parameters, result) for call, result in zip(calls, results, strict=True)]


def _results(text: str, count: int) -> list[str]:
    """The observation of each call; the full text for each of them where it cannot be divided."""
    try:
        listed = json.loads(text)
    except ValueError:
        listed = None
    if isinstance(listed, list) and len(listed) == count:
        results = [each.get("results", each) if isinstance(each, dict) else each for each in listed]
        return [each if isinstance(each, str) else json.dumps(each) for each in results]
    return [text] * count


def _json(line: str, place: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise NotTheFormat(f"{place}: a call is not JSON", remedy=CUT_REMEDY) from error
