"""Trajectories of GPT-4 with the tools of RoTBench: a folder with a packed file of JSON lines for each tool set.

    {"id", "conversations": [{"from": system | user | assistant | function, "value"}]}

The system text lists the tools. A row is a trajectory up to its `Turn n`: the row with the highest n of a question is
the complete trajectory. An assistant writes `Thought: … Action: … Action Input: {json}`:

- `finish` is a conclusion with its answer, or giving up where the answer is that the task cannot be handled;
- `ask_to_user` is a conclusion too: the question is the answer, and the user's reply follows as a turn;
- every other action is a call. A call whose input is not a JSON object stays in the history verbatim.

`finish` and `ask_to_user` are removed from the offered tools; of tools with the same name the first is used. A part of
such a suite is a tool set.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from alpha_umi.roles.caller import parse_call, write_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from recordings.errors import CutShort, NotTheFormat, UnknownSuite, some
from recordings.reading import (
    CUT_REMEDY,
    Entry,
    OnInvalid,
    Text,
    parse_each,
    parse_json,
    read_entry,
    read_lines,
    reject,
)
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import plan_turn

SUFFIX = ".jsonl.gz"
NOT_STARTED = "a row without a question of the user"
FINISH, ASK = "finish", "ask_to_user"
_TOOLS_FOLLOW = "following tools:"
_ROW = re.compile(r"Turn (?P<number>\d{1,6}): (?P<question>.*)", re.DOTALL)
_BEGIN = re.compile(r"\s*Begin!\s*$")
_STEP = re.compile(r"\s*Thought:(?P<thought>.*?)\n\s*(?P<call>Action:[^\n]*\n\s*Action Input:.*)", re.DOTALL)
_CANNOT = re.compile(r"\bcannot handle the task\b", re.IGNORECASE)


class RowTurn(Entry):
    """A turn."""

    speaker: Annotated[Literal["system", "user", "assistant", "function"], Field(alias="from")]
    value: str


class Row(Entry):
    """A trajectory up to one of its steps."""

    id: Text
    conversations: Annotated[list[RowTurn], Field(min_length=1)]


class Parameters(Entry):
    """The parameters of a tool. Their descriptions stand under a misspelled key."""

    properties: dict[str, dict[str, Any]] = Field(default_factory=dict)


class ListedTool(Entry):
    """A tool of the system text."""

    name: Text
    description: str = ""
    parameters: Parameters
    required: list[str] = Field(default_factory=list)


class Listed(Entry):
    """The tools of the system text."""

    tools: list[ListedTool]


def tool_sets(folder: Path) -> list[str]:
    """The tool sets of a folder."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def load(folder: Path, parts: Sequence[str], on_invalid: OnInvalid = reject) -> Loaded:
    """The trajectories of some tool sets, of all if none is named. Raises `DataError`."""
    known = tool_sets(folder)
    unknown = [name for name in parts if name not in known]
    if unknown:
        raise UnknownSuite(f"{folder} has no tool set {some(unknown)}", remedy=f"there are {', '.join(known)}")
    excluded: Counter[str] = Counter()
    trajectories = [
        each for name in parts or known for each in _tool_set(folder / f"{name}{SUFFIX}", name, excluded, on_invalid)
    ]
    return Loaded(tuple(trajectories), dict(excluded))


def _tool_set(path: Path, name: str, excluded: Counter[str], on_invalid: OnInvalid) -> Iterator[RecordedTrajectory]:
    rows = [row for row in _last_rows(read_lines(path, Row, on_invalid)) if _is_started(row, excluded)]
    turns = [tuple(_turns(row.conversations[1:])) for row in rows]
    ids = content_ids(each[0].content for each in turns)

    def to_trajectory(entry: tuple[str, Row, tuple[Turn, ...]]) -> RecordedTrajectory:
        digest, row, row_turns = entry
        tools = _tools(row.conversations[0].value, f"{path}, {row.id!r}")
        return RecordedTrajectory(f"{name}/{digest}", tools, row_turns)

    return parse_each(zip(ids, rows, turns, strict=True), to_trajectory, on_invalid)


def _last_rows(rows: list[Row]) -> list[Row]:
    """The last row of each question; a repeated question counts once."""
    last: dict[str, tuple[int, Row]] = {}
    for row in rows:
        number, question = _numbered(row.id)
        if question not in last or number >= last[question][0]:
            last[question] = (number, row)
    return [row for _, row in last.values()]


def _numbered(row_id: str) -> tuple[int, str]:
    match = _ROW.fullmatch(row_id)
    return (int(match["number"]), match["question"]) if match else (0, row_id)


def _is_started(row: Row, excluded: Counter[str]) -> bool:
    started = [turn.speaker for turn in row.conversations[:2]] == ["system", "user"]
    excluded += Counter() if started else Counter({NOT_STARTED: 1})
    return started


def _tools(text: str, place: str) -> tuple[Tool, ...]:
    listed = text.partition(_TOOLS_FOLLOW)[2].strip().split("\n")[0]
    if not listed:
        raise NotTheFormat(f"{place}: the system text lists no tools", remedy=CUT_REMEDY)
    try:
        value = parse_json(listed, f"{place}, tools", cut_remedy=CUT_REMEDY)
    except CutShort as error:
        raise NotTheFormat(f"{place}: the list of tools ends in the middle", remedy=CUT_REMEDY) from error
    listed_tools = read_entry({"tools": value}, Listed, place).tools
    named = {tool.name: tool for tool in reversed(listed_tools) if tool.name not in (FINISH, ASK)}
    return tuple(_tool(tool) for tool in reversed(named.values()))


def _tool(listed: ListedTool) -> Tool:
    properties = {name: _property(schema) for name, schema in listed.parameters.properties.items()}
    required = [name for name in listed.required if name in properties]
    schema = {"type": "object", "properties": properties} | ({"required": required} if required else {})
    return Tool(listed.name, listed.description, schema)


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description" if key == "desciption" else key: value for key, value in schema.items()}


def _turns(row_turns: Sequence[RowTurn]) -> Iterator[Turn]:
    for turn in row_turns:
        if turn.speaker == "assistant":
            yield from _step(turn.value)
        else:
            yield Turn("observation" if turn.speaker == "function" else "user", _BEGIN.sub("", turn.value))


def _step(text: str) -> Iterator[Turn]:
    """The role turns of an assistant's text."""
    match = _STEP.match(text)
    if match is None:
        yield Turn("planner", text)
        return
    thought, written = match["thought"].strip(), match["call"].strip()
    try:
        call = parse_call(written)
    except UnreadableOutput:
        yield from (plan_turn(thought, "caller"), Turn("caller", written))
        return
    if call.name == FINISH:
        yield from _finish(thought, str(call.arguments.get("answer", "")))
    elif call.name == ASK:
        question = str(call.arguments.get("question", ""))
        yield from (plan_turn(thought, "conclusion"), Turn("conclusion", question))
    else:
        yield plan_turn(thought, "caller")
        yield Turn("caller", write_call(call.name, call.arguments))


def _finish(thought: str, answer: str) -> Iterator[Turn]:
    if _CANNOT.search(answer):
        yield plan_turn(thought, "give up")
    else:
        yield from (plan_turn(thought, "conclusion"), Turn("conclusion", answer))
