"""ToolAlpaca instances: a JSON list of APIs, each with simulated dialogues about it.

    {"Name", "Function_Description": {name: "… Parameters: {json} Output: …"},
     "Instances": [{"input", "output", "Final Thought",
                    "intermediate_steps": [[[action, action input, "thought Action: … Action Input: …"], reply]]}]}

`getDetails` asks the user, who replies: here that is a conclusion and a further turn of the user. An instance is
excluded if its recording failed (a text, or `{"error"}`), if an action input is not a JSON object, or if it has no
output. The functions are read as in the suite with golden calls (`toolalpaca_golden`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from alpha_umi.roles.turns import Turn
from recordings.formats.toolalpaca_golden import ASK, json_object, question_of, tools_of
from recordings.reading import Entry, OnInvalid, Text, parse_each, read_entry, read_list
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import NO_TOOLS, SourceCall, call_turns, conclusion_turns

NO_OBJECT: Final = "an action input that is no JSON object"
NO_OUTPUT: Final = "no output"
FAILED: Final = "an instance whose recording failed"
_ACTION = re.compile(r"\n\s*(?:ASSISTANT )?Action:")
_HINT: Final = "\nHint: "


class Instance(Entry):
    """A dialogue."""

    input: Text
    output: str = ""
    final_thought: Annotated[str, Field(alias="Final Thought")] = ""
    intermediate_steps: list[Annotated[list[Any], Field(min_length=2, max_length=2)]]


class Api(Entry):
    """An API and the dialogues about it."""

    name: Annotated[Text, Field(alias="Name")]
    functions: Annotated[dict[str, str] | None, Field(alias="Function_Description")]
    instances: Annotated[list[dict[str, Any] | str], Field(alias="Instances")]


def load(path: Path, on_invalid: OnInvalid) -> Loaded:
    """The instances of a file as trajectories. Raises `DataError`."""
    excluded: Counter[str] = Counter()
    parsed = []
    for api in read_list(path, Api, on_invalid):
        tools = tools_of(api.functions or {})
        for turns in parse_each(enumerate(api.instances, start=1), partial(_read, api, path), on_invalid):
            if isinstance(turns, str):
                excluded[turns] += 1
            elif not tools:
                excluded[NO_TOOLS] += 1
            else:
                parsed.append((api.name, tools, turns))
    names = content_ids(turns[0].content for _, _, turns in parsed)
    trajectories = (
        RecordedTrajectory(f"{api}/{name}", tools, turns)
        for name, (api, tools, turns) in zip(names, parsed, strict=True)
    )
    return Loaded(tuple(trajectories), dict(excluded))


def _read(api: Api, path: Path, numbered: tuple[int, dict[str, Any] | str]) -> tuple[Turn, ...] | str:
    """The turns of an instance, or the reason to exclude it. Raises `NotTheFormat`."""
    number, instance = numbered
    if isinstance(instance, str) or "error" in instance:
        return FAILED
    return _turns(read_entry(instance, Instance, f"{path}, {api.name!r}, instance {number}"))


def _turns(instance: Instance) -> tuple[Turn, ...] | str:
    """The turns, or the reason to exclude the instance."""
    if not instance.output.strip():
        return NO_OUTPUT
    turns = [Turn("user", instance.input.rpartition(_HINT)[0] or instance.input)]
    for action, observation in instance.intermediate_steps:
        if not (isinstance(action, list) and len(action) == 3 and all(isinstance(each, str) for each in action)):
            return NO_OBJECT
        arguments = json_object(action[1])
        if arguments is None:
            return NO_OBJECT
        turns.extend(_step(action[0], arguments, _thought(action[2]), str(observation)))
    turns.extend(conclusion_turns(instance.final_thought.strip(), instance.output.strip()))
    return tuple(turns)


def _step(name: str, arguments: Mapping[str, Any], thought: str, observation: str) -> Iterator[Turn]:
    if name != ASK:
        yield from call_turns(thought, [SourceCall(name, arguments, observation)])
        return
    yield from conclusion_turns(thought, question_of(arguments))
    yield Turn("user", observation)


def _thought(text: str) -> str:
    written = _ACTION.split(text)[0].strip()
    return written.removeprefix("ASSISTANT Thought:").removeprefix("Thought:").strip()
