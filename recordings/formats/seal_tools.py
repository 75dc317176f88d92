"""Seal-Tools in the form for fine-tuning: a request with the retrieved tools and the calls it needs.

    {"id", "conversations": [{"from": "human", "value": "… api_list = [...] task_instruction = \"…\" …"},
                             {"from": "gpt", "value": "[{'api', 'parameters', 'responses'}, …]"}]}

Lists are written as Python values; only literals are parsed. There are no rationales, observations or answers. The
results of a call have names (`API_call_0`) that later calls may use as arguments. So the observation of a call maps its
results to their names, and each call is a step. The decision after the last call is unknown and is not evaluated.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.planner import write_plan
from alpha_umi.roles.turns import Tool, Turn
from recordings.errors import NotTheFormat
from recordings.reading import (
    CUT_REMEDY,
    Entry,
    OnInvalid,
    Text,
    parse_each,
    read_entry,
    read_list,
    refuse_duplicates,
    reject,
)
from recordings.trajectory import NOT_OFFERED, Loaded, RecordedTrajectory

_REQUEST = re.compile(
    r'\napi_list = (?P<tools>\[.*\])\ntask_instruction = "(?P<instruction>.*)"\s*\nOutput:', re.DOTALL
)
EntryModel = TypeVar("EntryModel", bound=BaseModel)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


class InstanceTurn(Entry):
    """A turn."""

    speaker: Annotated[Literal["human", "gpt"], Field(alias="from")]
    value: str


class Instance(Entry):
    """A request and its calls."""

    id: Text
    conversations: Annotated[list[InstanceTurn], Field(min_length=2, max_length=2)]


class ListedApi(Entry):
    """An offered tool. `responses` names its results."""

    api_name: Text
    api_description: str
    parameters: dict[str, dict[str, Any]]
    required: list[str] = Field(default_factory=list)
    responses: dict[str, Any] = Field(default_factory=dict)


class NeededCall(Entry):
    """A call. `responses` are the names by which later calls use its results."""

    api: Text
    parameters: dict[str, Any]
    responses: list[str] = Field(default_factory=list)


class _Offer(Entry):
    tools: list[ListedApi]


class _Calls(Entry):
    calls: Annotated[list[NeededCall], Field(min_length=1)]


def load(path: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """The requests of a file as trajectories. Raises `DataError`."""
    instances = read_list(path, Instance, on_invalid)
    refuse_duplicates([instance.id for instance in instances], f"{path}: instances")
    parsed = list(parse_each(instances, lambda each: _trajectory(each, f"{path}, {each.id!r}"), on_invalid))
    trajectories = tuple(each for each in parsed if each is not None)
    not_offered = len(parsed) - len(trajectories)
    return Loaded(trajectories, {NOT_OFFERED: not_offered} if not_offered else {})


def _trajectory(instance: Instance, place: str) -> RecordedTrajectory | None:
    request = _REQUEST.search(instance.conversations[0].value)
    if request is None:
        raise NotTheFormat(f"{place}: there are no tools or no instruction", remedy=CUT_REMEDY)
    offered = {api.api_name: api for api in _literal(request["tools"], "tools", _Offer, place).tools}
    calls = _literal(instance.conversations[1].value, "calls", _Calls, place).calls
    if any(call.api not in offered for call in calls):
        return None
    turns = (Turn("user", request["instruction"]), *(turn for call in calls for turn in _turns(call, offered)))
    return RecordedTrajectory(instance.id, tuple(map(_tool, offered.values())), turns)


def _turns(call: NeededCall, offered: dict[str, ListedApi]) -> Iterator[Turn]:
    yield Turn("planner", write_plan("", "caller").lstrip())
    yield Turn("caller", write_call(call.api, call.parameters))
    yield Turn("observation", json.dumps(dict(zip(offered[call.api].responses, call.responses, strict=False))))


def _tool(api: ListedApi) -> Tool:
    properties = {name: _property(schema) for name, schema in api.parameters.items()}
    required = [name for name in api.required if name in properties]
    schema = {"type": "object", "properties": properties} | ({"required": required} if required else {})
    return Tool(api.api_name, api.api_description, schema)


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    kind = _TYPES.get(str(schema.get("type")))
    return ({"type": kind} if kind else {}) | {"description": str(schema.get("description", ""))}


def _literal(text: str, field: str, model: type[EntryModel], place: str) -> EntryModel:
    try:
        return read_entry({field: ast.literal_eval(text)}, model, place)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise NotTheFormat(f"{place}: {field}: this is not a list of plain values", remedy=CUT_REMEDY) from error
