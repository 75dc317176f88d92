"""Questions of ToolBench with their offered APIs: a folder with a JSON list for each part.

    [{"query", "query_id", "api_list": [{"category_name", "tool_name", "api_name", "api_description",
      "required_parameters": [{"name", "type", "description", "default"}], "optional_parameters": [...]}]}]

There are no recorded answers, so there are no steps: questions are run as complete trajectories, with a server of
ToolBench's tools (`evaluation.replay.virtual`).

An API becomes a tool (`api_tool`) with the names, types and limits of `api_json_to_openai_json` in
`toolbench/inference/Downstream_tasks/rapidapi.py` and of `toolbench/utils.py` in OpenBMB/ToolBench. An API without a
required parameter has no parameters there, and so here. Two differences, because an orchestrator refuses such tools: a
truncated name loses a leading `_`, and of two APIs of one question with the same name only the first is offered, which
the published client calls for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from alpha_umi.roles.turns import NAME_CHARACTERS, Tool, Turn
from recordings.errors import UnknownSuite, some
from recordings.reading import Entry, OnInvalid, Text, read_list, reject
from recordings.trajectory import Loaded, RecordedTrajectory

DESCRIPTION_CHARACTERS: Final = 256
# Reserved words of Python and of the generated code.
_RESERVED: Final = frozenset({"from", "class", "return", "false", "true", "id", "and"})
_TYPES: Final[Mapping[str, str]] = {"NUMBER": "integer", "STRING": "string", "BOOLEAN": "boolean"}
_OTHER = re.compile(r"[^\u4e00-\u9fa5^a-zA-Z0-9_]")


class QueryParameter(Entry):
    """A parameter of an API."""

    name: Text
    kind: str = Field(alias="type")
    description: str
    default: Any = ""


class QueryApi(Entry):
    """An offered API."""

    category_name: Text
    tool_name: Text
    api_name: Text
    api_description: str
    required_parameters: list[QueryParameter]
    optional_parameters: list[QueryParameter]


@dataclass(frozen=True)
class ToolBenchApi(Tool):
    """A tool of ToolBench. `function` is its published description; requests to a server have the three names."""

    category: str = ""
    tool_name: str = ""
    api_name: str = ""
    function: Mapping[str, Any] = field(default_factory=dict)


def standardize(text: str) -> str:
    """A name of letters, digits and `_`, in lower case, that does not begin with a digit; it may be empty."""
    name = re.sub(r"_+", "_", _OTHER.sub("_", text)).lower().strip("_")
    return f"get_{name}" if name[:1].isdigit() else name


def python_name(text: str) -> str:
    """The standard name, or `is_NAME` if that is reserved."""
    name = standardize(text)
    return f"is_{name}" if name in _RESERVED else name


def api_tool(api: QueryApi) -> ToolBenchApi:
    """An API as a tool."""
    tool_name, api_name = standardize(api.tool_name), python_name(api.api_name)
    name = f"{api_name}_for_{tool_name}"[-NAME_CHARACTERS:]
    function: dict[str, Any] = {
        "name": name,
        "description": _description(api, tool_name, name),
        "parameters": _parameters(api),
    }
    return ToolBenchApi(
        name.lstrip("_"),
        function["description"],
        _schema(function["parameters"]),
        category=api.category_name,
        tool_name=tool_name,
        api_name=api_name,
        function=function,
    )


def api_tools(apis: Sequence[QueryApi]) -> tuple[ToolBenchApi, ...]:
    """The tools of a question, without repeated names."""
    named: dict[str, ToolBenchApi] = {}
    for tool in map(api_tool, apis):
        named.setdefault(tool.name, tool)
    return tuple(named.values())


def _description(api: QueryApi, tool_name: str, name: str) -> str:
    start = f'This is the subfunction for tool "{tool_name}", you can use this tool.'
    description = api.api_description.strip().replace(api.api_name, name)[:DESCRIPTION_CHARACTERS]
    return f'{start}The description of this function is: "{description}"' if description else start


def _parameters(api: QueryApi) -> dict[str, Any]:
    required = {python_name(each.name): _property(each) for each in api.required_parameters}
    optional = {python_name(each.name): _property(each) for each in api.optional_parameters if required}
    return {
        "type": "object",
        "properties": required | optional,
        "required": [python_name(each.name) for each in api.required_parameters],
        "optional": [python_name(each.name) for each in api.optional_parameters if required],
    }


def _property(parameter: QueryParameter) -> dict[str, Any]:
    schema = {
        "type": _TYPES.get(parameter.kind, "string"),
        "description": parameter.description[:DESCRIPTION_CHARACTERS],
    }
    return schema if str(parameter.default) == "" else schema | {"example_value": parameter.default}


def _schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON Schema: without example values and names of optional parameters."""
    properties = {
        name: {key: value for key, value in schema.items() if key != "example_value"}
        for name, schema in parameters["properties"].items()
    }
    schema = {"type": "object", "properties": properties}
    required = list(dict.fromkeys(parameters["required"]))
    return schema | ({"required": required} if required else {})


SUFFIX = ".json"


class Query(Entry):
    """A question."""

    query: Text
    query_id: int | str
    api_list: Annotated[list[QueryApi], Field(min_length=1)]


def query_parts(folder: Path) -> list[str]:
    """The parts of a folder."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))


def load(folder: Path, parts: Sequence[str], on_invalid: OnInvalid = reject) -> Loaded:
    """The questions of some parts, of all if none is named. Raises `DataError`."""
    known = query_parts(folder)
    unknown = [name for name in parts if name not in known]
    if unknown:
        raise UnknownSuite(f"{folder} has no part {some(unknown)}", remedy=f"there are {', '.join(known)}")
    return Loaded(tuple(each for name in parts or known for each in _part(folder, name, on_invalid)))


def _part(folder: Path, name: str, on_invalid: OnInvalid) -> Iterator[RecordedTrajectory]:
    for each in read_list(folder / f"{name}{SUFFIX}", Query, on_invalid):
        yield RecordedTrajectory(f"{name}/{each.query_id}", api_tools(each.api_list), (Turn("user", each.query),))
