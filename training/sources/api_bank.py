"""API-Bank, level 3: requests that are met by searching a library of tools and calling what was found.

`lv3-api-train.json` and `lv3-response-train.json`, JSON lists of `{"input", "output"}`. An input is the descriptions of
the first tools, `User: …`, and the calls so far, `API-Request: [Name(key='value')]->observation`, so that the longest
input of a request is its whole trajectory. A tool that was found is on offer from the beginning: a role model sees the
tools once. Nothing tells what was thought.
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
from evaluation.errors import NotTheFormat
from evaluation.files.jsonl import parse_json
from evaluation.suites.described import tool
from evaluation.suites.naming import ids_of
from evaluation.suites.reading import CUT_REMEDY, Entry, OnBroken, Text, each_whole, read_list
from evaluation.suites.recorded import Loaded, RecordedTrajectory
from training.sources.said import SaidCall, answered, calls_in_turn

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


def load(folder: Path, on_broken: OnBroken) -> Loaded:
    """The requests of a folder as trajectories. Raises `EvaluationError`."""
    longest: dict[str, tuple[str, Prefix]] = {}
    for name in FILES:
        for number, row in enumerate(read_list(folder / name, Prefix, on_broken), start=1):
            request = _request(row.input)
            if request not in longest or len(row.input) >= len(longest[request][1].input):
                longest[request] = (f"{folder / name}, entry {number}", row)
    left_out: Counter[str] = Counter()

    def trajectory(found: tuple[str, tuple[str, Prefix]]) -> RecordedTrajectory | None:
        return _trajectory(found[0], *found[1], left_out)

    made = each_whole(zip(ids_of(longest), longest.values(), strict=True), trajectory, on_broken)
    return Loaded(tuple(filter(None, made)), dict(left_out))


def _request(text: str) -> str:
    return text.partition("\nUser: ")[2].partition("\n")[0]


def _trajectory(name: str, place: str, row: Prefix, left_out: Counter[str]) -> RecordedTrajectory | None:
    described, _, said = row.input.partition("\nUser: ")
    user, *steps = _STEP.split(_CUE.sub("", said))
    calls = [_call(step) for step in (*steps, *([row.output] if row.output.startswith("API-Request: ") else ()))]
    if not user or any(call is None for call in calls):
        left_out[NO_CALL] += 1
        return None
    known = [call for call in calls if call is not None]
    turns = [turn for call in known for turn in calls_in_turn("", [call])]
    if row.output.startswith("AI: "):
        turns.extend(answered("", row.output.removeprefix("AI: ").strip()))
    tools = {each.name: each for each in (*_described(described, place), *_found(known))}
    said_when = _TIME.sub("\nTIME: ", user.strip())
    return RecordedTrajectory(name, tuple(tools.values()), (Turn("user", said_when), *turns))


def _call(text: str) -> SaidCall | None:
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    # Values of earlier calls often stand there without quotation marks.
    arguments = {each["key"]: _value(each["value"]) for each in _ARGUMENT.finditer(match["arguments"])}
    observation = match["observation"]
    return SaidCall(match["name"], arguments, None if observation is None else observation.strip())


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return text
    return value


def _described(text: str, place: str) -> Iterator[Tool]:
    for line in filter(str.strip, text.split("\n")):
        said = parse_json(line, f"{place}, tools", cut_remedy=CUT_REMEDY)
        if not isinstance(said, dict) or not isinstance(said.get("apiCode"), str):
            raise NotTheFormat(f"{place}: a tool has no name `apiCode`", remedy=CUT_REMEDY)
        yield _tool(said["apiCode"], said, "parameters")


def _found(calls: list[SaidCall]) -> Iterator[Tool]:
    """The tools that a search brought."""
    for call in calls:
        try:
            brought = ast.literal_eval(call.observation or "None")
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        for said in brought if isinstance(brought, list) else [brought]:
            if isinstance(said, dict) and isinstance(said.get("name"), str) and "input_parameters" in said:
                yield _tool(said["name"], said, "input_parameters")


def _tool(name: str, said: Mapping[str, Any], parameters: str) -> Tool:
    properties = said.get(parameters)
    return tool(name, str(said.get("description", "")), properties if isinstance(properties, dict) else {})
