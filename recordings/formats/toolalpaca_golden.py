"""ToolAlpaca's evaluation set: a JSON list of APIs, each with instructions and the calls that meet them.

    {"Name", "Function_Description": {name: "… Parameters: {json} Output: …"},
     "Instructions": [text], "Golden_Answers": [[{"Action", "Action_Input": "{json}"}]]}

There are no thoughts, observations and answers. So the first call of an instruction is its step: of any further one the
history is not known, and it is counted as left out. `getDetails` is not among the functions of an API. It asks the
user, which is a conclusion here, as where ToolAlpaca is learned from. An input that is no JSON object stays in the
history as it was written. Descriptions of an API's objects ("components") are no tools.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from alpha_umi.roles.caller import parse_call, write_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from recordings.cases import NO_HISTORY
from recordings.errors import NotTheFormat
from recordings.reading import CUT_REMEDY, Entry, OnBroken, Text, each_whole, read_list, refuse
from recordings.schemas import tool
from recordings.trajectory import NOT_OFFERED, Loaded, Procedure, RecordedTrajectory, ids_of
from recordings.turns import plan_turn

ASK: Final = "getDetails"
_COMPONENTS: Final = "components"
# An output may end in a brace, too.
_PARAMETERS = re.compile(r"\n?\s*Parameters: (?P<parameters>\{.*?\})(?:\n\s*Output:|\Z)", re.DOTALL)
_STRUCTURE = re.compile(r" - Structure: (?P<form>.*)\Z")
_KIND = re.compile(
    r"(?:(?P<required>Required|Optional)\. )?(?P<kind>\w+)(?:\[[^\]]*\])?\. *(?P<description>.*)", re.DOTALL
)


class GoldenCall(Entry):
    """A call that meets an instruction, or a part of it."""

    action: Annotated[Text, Field(alias="Action")]
    action_input: Annotated[str, Field(alias="Action_Input")]


class Api(Entry):
    """An API, what is asked of it, and the calls of each instruction."""

    name: Annotated[Text, Field(alias="Name")]
    functions: Annotated[dict[str, str], Field(alias="Function_Description")]
    instructions: Annotated[list[Text], Field(alias="Instructions")]
    answers: Annotated[list[Annotated[list[GoldenCall], Field(min_length=1)]], Field(alias="Golden_Answers")]


def load(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The instructions of a file as trajectories. Raises `DataError`."""
    left_out: Counter[str] = Counter()
    found: list[tuple[tuple[Tool, ...], tuple[Turn, ...], Procedure]] = []
    apis = read_list(path, Api, on_broken)
    for tools, asked, answers in each_whole(apis, lambda api: (*_asked(api, path), _answers(api)), on_broken):
        offered = {ASK, *(each.name for each in tools)}
        for instruction, calls in asked:
            if calls[0].action not in offered:
                left_out[NOT_OFFERED] += 1
                continue
            left_out[NO_HISTORY] += len(calls) - 1
            procedure = Procedure(tuple((call.action, call.action_input) for call in calls), answers)
            found.append((tools, (Turn("user", instruction), *_step(calls[0])), procedure))
    names = ids_of(turns[0].content for _, turns, _ in found)
    trajectories = tuple(
        RecordedTrajectory(name, tools, turns, procedure=procedure)
        for name, (tools, turns, procedure) in zip(names, found, strict=True)
    )
    return Loaded(trajectories, dict(+left_out))


def tools_of(functions: Mapping[str, str]) -> tuple[Tool, ...]:
    """The tools that the functions of an API are, as ToolAlpaca describes them."""
    return tuple(_tool(name, text) for name, text in functions.items() if name != _COMPONENTS)


def question_of(arguments: Mapping[str, Any]) -> str:
    """What `getDetails` asks the user."""
    return str(next(iter(arguments.values()), ""))


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _asked(api: Api, path: Path) -> tuple[tuple[Tool, ...], list[tuple[str, list[GoldenCall]]]]:
    """The tools of an API, and its instructions with their calls. Raises `NotTheFormat`."""
    place = f"{path}, {api.name!r}"
    tools = tools_of(api.functions)
    if not tools:
        raise NotTheFormat(f"{place}: Function_Description: there is no function", remedy=CUT_REMEDY)
    if len(api.instructions) != len(api.answers):
        raise NotTheFormat(
            f"{place}: there are {len(api.instructions)} Instructions and {len(api.answers)} Golden_Answers",
            remedy=CUT_REMEDY,
        )
    return tools, list(zip(api.instructions, api.answers, strict=True))


def _answers(api: Api) -> dict[str, str]:
    """The form of each function's answers, and behind it the forms that it may refer to."""
    more = "\n" + api.functions.get(_COMPONENTS, "")
    forms = {name: _STRUCTURE.search(text) for name, text in api.functions.items() if name != _COMPONENTS}
    return {name: match["form"].strip() + more for name, match in forms.items() if match is not None}


def _step(golden: GoldenCall) -> Iterator[Turn]:
    written = f"Action: {golden.action}\nAction Input: {golden.action_input}"
    try:
        call = parse_call(written)
    except UnreadableOutput:
        yield from (plan_turn("", "caller"), Turn("caller", written))
        return
    if call.name == ASK:
        yield from (plan_turn("", "conclusion"), Turn("conclusion", question_of(call.arguments)))
    else:
        yield from (plan_turn("", "caller"), Turn("caller", write_call(call.name, call.arguments)))


def _tool(name: str, text: str) -> Tool:
    match = _PARAMETERS.search(text)
    said = (json_object(match["parameters"]) if match else None) or {}
    described = text[: match.start()] if match else text.partition("\nOutput:")[0]
    properties = {key: _property(str(value)) for key, value in said.items()}
    required = [key for key, value in said.items() if str(value).startswith("Required.")]
    return tool(name, described.strip(), properties, required)


def _property(text: str) -> dict[str, str]:
    match = _KIND.fullmatch(text)
    if match is None:
        return {"description": text}
    described = match["description"]
    return {"type": match["kind"].lower()} | ({"description": described} if described else {})
