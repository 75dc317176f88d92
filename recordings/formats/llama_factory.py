"""Samples of LLaMA-Factory: dialogues in which an assistant calls functions, in two forms.

- a JSON list of `{"conversations": [{"from": human | gpt | function_call | observation, "value"}], "tools"}`, without
  rationales;
- JSON lines of `{"messages": [{"role": system | user | assistant | tool, "content": [{"type", "value"}]}], "tools"}`,
  where an assistant's parts are `reasoning`, `text` and `tool_call`.

`tools` is a string that holds a JSON list. A call's text is a JSON object, or a list of them for parallel calls. An
assistant's reply to a greeting is a conclusion like any other.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from alpha_umi.roles.turns import Tool, Turn
from recordings.errors import NotTheFormat
from recordings.reading import (
    CUT_REMEDY,
    Entry,
    OnInvalid,
    Text,
    parse_each,
    parse_json,
    read_entry,
    read_lines,
    read_list,
)
from recordings.schemas import tool
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import NO_START, NO_TOOLS, SourceCall, call_turns, conclusion_turns

Kind = Literal["user", "thought", "call", "observation", "answer", "system"]
_Part = tuple[Kind, str]


class SharedTurn(Entry):
    """A turn of the first form."""

    speaker: Annotated[Literal["human", "gpt", "function_call", "observation"], Field(alias="from")]
    value: str


class Shared(Entry):
    """A dialogue of the first form."""

    conversations: Annotated[list[SharedTurn], Field(min_length=1)]
    tools: str


class Content(Entry):
    """A part of a message."""

    type: Literal["text", "reasoning", "tool_call"]
    value: str


class Message(Entry):
    """A message of the second form."""

    role: Literal["system", "user", "assistant", "tool"]
    content: list[Content]


class Reasoned(Entry):
    """A dialogue of the second form."""

    messages: Annotated[list[Message], Field(min_length=1)]
    tools: str


class Call(Entry):
    """A call."""

    name: Text
    arguments: dict[str, Any] = Field(default_factory=dict)


class Function(Entry):
    """A tool."""

    name: Text
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    required: list[str] | None = None


class _Offer(Entry):
    tools: list[Function]


_SHARED: dict[str, Kind] = {"human": "user", "gpt": "answer", "function_call": "call", "observation": "observation"}
_REASONED: dict[tuple[str, str], Kind] = {
    ("user", "text"): "user",
    ("assistant", "reasoning"): "thought",
    ("assistant", "tool_call"): "call",
    ("assistant", "text"): "answer",
    ("tool", "text"): "observation",
    ("system", "text"): "system",
}


def load(path: Path, on_invalid: OnInvalid) -> Loaded:
    """The dialogues of a file as trajectories. Raises `DataError`."""
    listed = path.suffix == ".json"
    dialogues: Sequence[Shared | Reasoned] = (
        read_list(path, Shared, on_invalid) if listed else read_lines(path, Reasoned, on_invalid)
    )
    places = enumerate(dialogues, start=1)
    parsed = list(parse_each(places, lambda entry: _read(entry[1], f"{path}, dialogue {entry[0]}"), on_invalid))
    started = [(tools, turns) for tools, turns in parsed if turns and turns[0].role == "user"]
    offered = [(tools, turns) for tools, turns in started if tools]
    names = content_ids(turns[0].content for _, turns in offered)
    trajectories = (RecordedTrajectory(name, tools, turns) for name, (tools, turns) in zip(names, offered, strict=True))
    counts = {NO_START: len(parsed) - len(started), NO_TOOLS: len(started) - len(offered)}
    return Loaded(tuple(trajectories), {reason: count for reason, count in counts.items() if count})


def _read(dialogue: Shared | Reasoned, place: str) -> tuple[tuple[Tool, ...], tuple[Turn, ...]]:
    return _tools(dialogue.tools, place), tuple(_turns(list(_parts(dialogue, place)), place))


def _parts(dialogue: Shared | Reasoned, place: str) -> Iterator[_Part]:
    if isinstance(dialogue, Shared):
        yield from ((_SHARED[turn.speaker], turn.value) for turn in dialogue.conversations)
        return
    for message in dialogue.messages:
        for part in message.content:
            kind = _REASONED.get((message.role, part.type))
            if kind is None:
                raise NotTheFormat(f"{place}: a message of {message.role} has a {part.type}", remedy=CUT_REMEDY)
            yield kind, part.value


def _turns(parts: Sequence[_Part], place: str) -> Iterator[Turn]:
    """The turns. Parallel calls become successive steps, up to the first without an observation."""
    thought, at = "", 0
    while at < len(parts):
        kind, text = parts[at]
        at += 1
        match kind:
            case "user":
                yield Turn("user", text)
            case "thought":
                thought = text
            case "answer":
                yield from conclusion_turns(thought, text)
                thought = ""
            case "call":
                at, calls = _calls(parts, at - 1, place)
                yield from call_turns(thought, calls)
                thought = ""
                if any(call.observation is None for call in calls):
                    return


def _calls(parts: Sequence[_Part], at: int, place: str) -> tuple[int, list[SourceCall]]:
    """The calls that begin at `at`, each with its observation, and the index of the part after them."""
    end = _while(parts, at, "call")
    after = _while(parts, end, "observation")
    calls = [call for _, text in parts[at:end] for call in _parallel(text, place)]
    observations = [text for _, text in parts[end:after]]
    if len(observations) == 1:
        observations = _divided(observations[0], len(calls))
    observed: list[str | None] = [*observations, *([None] * len(calls))]
    return after, [
        SourceCall(call.name, call.arguments, text) for call, text in zip(calls, observed[: len(calls)], strict=True)
    ]


def _parallel(text: str, place: str) -> list[Call]:
    """The calls of one turn (LLaMA-Factory, `FunctionFormatter`)."""
    value = _json(text, place)
    if value == []:
        raise NotTheFormat(f"{place}, call: the list holds no call", remedy=CUT_REMEDY)
    return [read_entry(each, Call, f"{place}, call") for each in (value if isinstance(value, list) else [value])]


def _divided(observation: str, calls: int) -> list[str]:
    """The one observation of several calls: a JSON list of as many items is divided, and any other is repeated."""
    with contextlib.suppress(ValueError, RecursionError):
        items = json.loads(observation)
        if calls > 1 and isinstance(items, list) and len(items) == calls:
            return [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in items]
    return [observation] * calls


def _while(parts: Sequence[_Part], at: int, kind: Kind) -> int:
    return next((place for place in range(at, len(parts)) if parts[place][0] != kind), len(parts))


def _tools(text: str, place: str) -> tuple[Tool, ...]:
    listed = _json(text, place) if text.strip() else []
    if isinstance(listed, list):
        listed = [each.get("function", each) if isinstance(each, dict) else each for each in listed]
    offer = read_entry({"tools": listed}, _Offer, f"{place}, tools").tools
    return tuple({each.name: _tool(each) for each in offer}.values())


def _tool(function: Function) -> Tool:
    properties, required = function.parameters.get("properties"), function.parameters.get("required", function.required)
    return tool(
        function.name,
        function.description,
        properties if isinstance(properties, dict) else {},
        required if isinstance(required, list) else (),
    )


def _json(text: str, place: str) -> Any:
    return parse_json(text, place, cut_remedy=CUT_REMEDY)
