"""ToolBench in the published test format: one JSON list of trajectories with their tools.

    {"tools": [{"Name", "function", "input"}], "instruction", "conversations": [{"from", "value"}]}

Turns are read verbatim. A tool's `input` describes each parameter as "type, description", which becomes a JSON Schema
without required names; the tool is rendered into prompts as in the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from alpha_umi.roles.turns import Tool, Turn, TurnRole
from recordings.reading import Entry, OnInvalid, Text, read_list, reject
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids

OTHER_ORDER = "a conversation that does not begin with the user"
JSON_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
Speaker = Literal["user", "assistant", "caller", "observation", "conclusion"]
_ROLES: dict[Speaker, TurnRole] = {
    "user": "user",
    "assistant": "planner",
    "caller": "caller",
    "observation": "observation",
    "conclusion": "conclusion",
}
SPEAKERS: dict[TurnRole, Speaker] = {role: speaker for speaker, role in _ROLES.items()}


class PublishedTool(Entry):
    """A tool of the published data."""

    name: Annotated[str, Field(alias="Name", min_length=1)]
    function: str = ""
    input: dict[str, str] = Field(default_factory=dict)


class PublishedTurn(Entry):
    """A turn of the published data."""

    speaker: Annotated[Speaker, Field(alias="from")]
    value: str


class Conversation(Entry):
    """A trajectory."""

    tools: list[PublishedTool]
    instruction: Text
    conversations: Annotated[list[PublishedTurn], Field(min_length=1)]


def load(path: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """The trajectories of a file. Raises `DataError`."""
    conversations = read_list(path, Conversation, on_invalid)
    started = [each for each in conversations if each.conversations[0].speaker == "user"]
    excluded = {OTHER_ORDER: len(conversations) - len(started)} if len(started) < len(conversations) else {}
    return Loaded(tuple(_trajectories(started)), excluded)


def tool_of(published: PublishedTool) -> Tool:
    """A published tool, its `input` as a JSON Schema."""
    properties = {name: _property(text) for name, text in published.input.items()}
    return Tool(published.name, published.function, {"type": "object", "properties": properties})


def history_of(turns: Sequence[PublishedTurn]) -> tuple[Turn, ...]:
    """Published turns as turns of the roles."""
    return tuple(Turn(_ROLES[turn.speaker], turn.value) for turn in turns)


def _trajectories(conversations: list[Conversation]) -> Iterator[RecordedTrajectory]:
    names = content_ids(each.instruction for each in conversations)
    for name, each in zip(names, conversations, strict=True):
        tools = tuple(map(tool_of, each.tools))
        yield RecordedTrajectory(name, tools, history_of(each.conversations))


def _property(text: str) -> dict[str, str]:
    kind, _, description = text.partition(", ")
    described = {"description": description} if description or text.endswith(", ") else {}
    return {"type": kind, **described} if kind in JSON_TYPES else described
