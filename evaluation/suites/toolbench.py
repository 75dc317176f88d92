"""ToolBench in the published test format: one JSON list of trajectories with their tools.

    {"tools": [{"Name", "function", "input"}], "instruction", "conversations": [{"from", "value"}]}

The turns are kept as they are. A tool's `input` says of each parameter "type, description", which becomes a JSON Schema
without required names; the tool is shown to a model as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from evaluation.files.published import PublishedTool, PublishedTurn, history_of, tool_of
from evaluation.suites.naming import ids_of
from evaluation.suites.reading import Entry, OnBroken, Text, read_list, refuse
from evaluation.suites.recorded import Loaded, RecordedTrajectory

OTHER_ORDER = "a conversation that does not begin with the user"


class Conversation(Entry):
    """A trajectory."""

    tools: list[PublishedTool]
    instruction: Text
    conversations: Annotated[list[PublishedTurn], Field(min_length=1)]


def load(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The trajectories of a file. Raises `EvaluationError`."""
    found = read_list(path, Conversation, on_broken)
    started = [each for each in found if each.conversations[0].speaker == "user"]
    left_out = {OTHER_ORDER: len(found) - len(started)} if len(started) < len(found) else {}
    return Loaded(tuple(_trajectories(started)), left_out)


def _trajectories(conversations: list[Conversation]) -> Iterator[RecordedTrajectory]:
    names = ids_of(each.instruction for each in conversations)
    for name, each in zip(names, conversations, strict=True):
        tools = tuple(map(tool_of, each.tools))
        yield RecordedTrajectory(name, tools, history_of(each.conversations))
