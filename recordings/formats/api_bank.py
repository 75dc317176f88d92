"""API-Bank, level 3: requests that are met by searching a library of tools and calling the results.

`lv3-api-train.json` and `lv3-response-train.json`, JSON lists of `{"input", "output"}`. An input is the descriptions of
the first tools, `User: …`, and the calls so far, `API-Request: [Name(key='value')]->observation`, so that the longest
input of a request is its complete trajectory. A tool that a search returned is offered from the start, because a role
model sees the tools once. There are no rationales.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from alpha_umi.roles.turns import Tool, Turn
from recordings.errors import NotTheFormat
from recordings.reading import CUT_REMEDY, Entry, OnInvalid, Text, parse_each, parse_json, read_list
from recordings.schemas import tool
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import SourceCall, call_turns, conclusion_turns

FILES: Final = ("lv3-api-train.json", "lv3-response-train.json")
NO_CALL: Final = "a call that cannot be read"
_CUE = re.compile(r"\nGenerate (?:API Request|AI Response): *$")
_STEP = re.compile(r"\n(?=API-Request: )")
_TIME = re.compile(r"(?<=\S)TIME: ")
_CALL = re.compile(r"API-Request: \[(?P<name>\w+)\((?P<arguments>.*?)\)\](?:->(?P<observation>.*))?\s*", re.DOTALL)
_ARGUMENT = re.compile(r"(?P<key>\w+) *= *(?P<value>.*?)(?=, *\w+ *=|\Z)", re.DOTALL)


class Prefix(Entry):
    """A request up to one of its steps, and the step."""

    input: Text
    output: Text


def load(folder: Path, on_invalid: OnInvalid) -> Loaded:
    """The requests of a folder as trajectories. Raises `DataError`."""
    longest: dict[str, tuple[str, Prefix]] = {}
    for name in FILES:
        for number, row in enumerate(read_list(folder / name, Prefix, on_invalid), start=1):
            request = _request(row.input)
            if request not in longest or len(row.input) >= len(longest[request][1].input):
                longest[request] = (f"{folder / name}, entry {number}", row)
    excluded: Counter[str] = Counter()

    def to_trajectory(entry: tuple[str, tuple[str, Prefix]]) -> RecordedTrajectory | None:
        name, (place, row) = entry
        return _trajectory(name, place, row, excluded)

    trajectories = parse_each(zip(content_ids(longest), longest.values(), strict=True), to_trajectory, on_invalid)
    return Loaded(tuple(filter(None, trajectories)), dict(excluded))


def _request(text: str) -> str:
    return text.partition("\nUser: ")[2].partition("\n")[0]


def _trajectory(name: str, place: str, row: Prefix, excluded: Counter[str]) -> RecordedTrajectory | None:
    tool_lines, _, dialogue = row.input.partition("\nUser: ")
    user, *steps = _STEP.split(_CUE.sub("", dialogue))
    calls = [_call(step) for step in (*steps, *([row.output] if row.output.startswith("API-Request: ") else ()))]
    if not user or any(call is None for call in calls):
        excluded[NO_CALL] += 1
        return None
    known = [call for call in calls if call is not None]
    turns = [turn for call in known for turn in call_turns("", [call])]
    if row.output.startswith("AI: "):
        turns.extend(conclusion_turns("", row.output.removeprefix("AI: ").strip()))
    tools = {each.name: each for each in (*_described(tool_lines, place), *_retrieved(known))}
    instruction = _TIME.sub("\nTIME: ", user.strip())
    return RecordedTrajectory(name, tuple(tools.values()), (Turn("user", instruction), *turns))


def _call(text: str) -> SourceCall | None:
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    # Values of earlier calls often stand there without quotation marks.
    arguments = {each["key"]: _value(each["value"]) for each in _ARGUMENT.finditer(match["arguments"])}
    observation = match["observation"]
    return SourceCall(match["name"], arguments, None if observation is None else observation.strip())


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text
    return value


def _described(text: str, place: str) -> Iterator[Tool]:
    for line in filter(str.strip, text.split("\n")):
        api = parse_json(line, f"{place}, tools", cut_remedy=CUT_REMEDY)
        if not isinstance(api, dict) or not isinstance(api.get("apiCode"), str):
            raise NotTheFormat(f"{place}: a tool has no name `apiCode`", remedy=CUT_REMEDY)
        yield _tool(api["apiCode"], api, "parameters")


def _retrieved(calls: list[SourceCall]) -> Iterator[Tool]:
    """The tools that a search returned."""
    for call in calls:
        try:
            results = ast.literal_eval(call.observation or "None")
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        for api in results if isinstance(results, list) else [results]:
            if isinstance(api, dict) and isinstance(api.get("name"), str) and "input_parameters" in api:
                yield _tool(api["name"], api, "input_parameters")


def _tool(name: str, api: Mapping[str, Any], parameters: str) -> Tool:
    properties = api.get(parameters)
    return tool(name, str(api.get("description", "")), properties if isinstance(properties, dict) else {})
