"""Raw ToolBench answers: a folder, with folders in it, of `*.json`, each the search tree of one query.

    {"answer_generation": {"query", "function": [{"name", "description", "parameters"}],
                           "train_messages": [[{"role": system | user | assistant | function, "content",
                                                "function_call": {"name", "arguments"}}], …]}}

The last chain of a tree is its trajectory, as in the published preprocessing (`prepro_raw_stage_1.py` and
`prepro_raw_stage_2.py` of X-PLUG/Multi-LLM-Agent): `return_type` of `Finish` decides between a conclusion with its
answer and giving up, and the observation is the value of `response`. Text that is cut, and so is no JSON, is searched
for the same names. A tree without a chain is excluded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from alpha_umi.roles.turns import Turn
from recordings.errors import NotTheFormat
from recordings.reading import CUT_REMEDY, Entry, OnInvalid, Text, parse_each, parse_json, read_entry, read_text
from recordings.schemas import tool
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import conclusion_turns, give_up_turns, plan_turn

FINISH: Final = "Finish"
GIVE_UP: Final = "give_up_and_restart"
NO_CHAIN: Final = "a tree without a chain"
NO_ANSWER: Final = "none"


class WrittenCall(Entry):
    """A call. Its arguments are JSON text, which may be invalid, or in some trees an object."""

    name: Text
    arguments: str | dict[str, Any]

    @property
    def text(self) -> str:
        """The arguments as text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, indent=2)


class Message(Entry):
    """A message of a chain."""

    role: Literal["system", "user", "assistant", "function"]
    content: str | None = None
    function_call: WrittenCall | None = None


class Function(Entry):
    """An offered tool."""

    name: Text
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class Answer(Entry):
    """A query with its tools and chains."""

    query: Text
    function: list[Function]
    train_messages: list[Annotated[list[Message], Field(min_length=1)]] = Field(default_factory=list)


class Tree(Entry):
    """A file: only the fields that are read."""

    answer_generation: Answer


def load(folder: Path, on_invalid: OnInvalid) -> Loaded:
    """The trees of a folder, all folders in it too. Raises `DataError`."""
    files = sorted(path for path in folder.rglob("*.json") if not path.name.startswith("."))
    if not files:
        raise NotTheFormat(f"{folder} holds no file *.json", remedy=CUT_REMEDY)
    trees = list(parse_each(files, _tree, on_invalid))
    chained = [tree.answer_generation for tree in trees if tree.answer_generation.train_messages]
    names = content_ids(each.query for each in chained)
    trajectories = tuple(_trajectory(name, each) for name, each in zip(names, chained, strict=True))
    return Loaded(trajectories, {NO_CHAIN: len(trees) - len(chained)} if len(chained) < len(trees) else {})


def _tree(path: Path) -> Tree:
    return read_entry(parse_json(read_text(path), str(path), cut_remedy=CUT_REMEDY), Tree, str(path))


def _trajectory(name: str, answer: Answer) -> RecordedTrajectory:
    tools = tuple(
        tool(each.name, each.description, each.parameters.get("properties", {}), each.parameters.get("required", ()))
        for each in answer.function
        if each.name != FINISH
    )
    # A chain begins with the instructions of the recording and the query.
    turns = (Turn("user", answer.query), *_turns(answer.train_messages[-1][2:]))
    return RecordedTrajectory(name, tools, turns)


def _turns(chain: Sequence[Message]) -> Iterator[Turn]:
    for message in chain:
        match message.role:
            case "assistant" if message.function_call is not None:
                yield from _step((message.content or "").strip(), message.function_call)
            case "assistant":
                yield Turn("planner", message.content or "")
            case "user":
                yield Turn("user", message.content or "")
            case "function":
                yield Turn("observation", _response(message.content or ""))


def _step(thought: str, call: WrittenCall) -> Iterator[Turn]:
    if call.name != FINISH:
        yield plan_turn(thought, "caller")
        yield Turn("caller", f"Action: {call.name}\nAction Input: {call.text}")
        return
    parsed = _object(call.text)
    if parsed["return_type"] == GIVE_UP if "return_type" in parsed else GIVE_UP in call.text:
        yield from give_up_turns(thought)
    else:
        yield from conclusion_turns(thought, _final(parsed, call.text, thought))


def _final(parsed: Mapping[str, Any], text: str, thought: str) -> str:
    if parsed:
        return str(parsed.get("final_answer") or NO_ANSWER)
    _, named, after = text.partition('"final_answer": ')
    return after.strip().strip("}").strip('"') if named else thought or NO_ANSWER


def _response(text: str) -> str:
    parsed = _object(text)
    if "response" in parsed:
        response = parsed["response"]
        return response if isinstance(response, str) else json.dumps(response)
    return text.partition('"response":')[2]


def _object(text: str) -> Mapping[str, Any]:
    """The JSON object of a text; empty if it is none."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
