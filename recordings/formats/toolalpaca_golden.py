"""ToolAlpaca's evaluation set: a JSON list of APIs, each with instructions and the calls that meet them.

    {"Name", "Function_Description": {name: "… Parameters: {json} Output: …"},
     "Instructions": [text], "Golden_Answers": [[{"Action", "Action_Input": "{json}"}]]}

There are no rationales, observations or answers. So only the first call of an instruction is a step: the history of
any further call is unknown, and the call is counted as excluded. `getDetails` is not among the functions of an API. It
asks the user, which is a conclusion here, as in the training format. An input that is not a JSON object stays in the
history verbatim. Descriptions of an API's objects ("components") are not tools.
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
from recordings.reading import CUT_REMEDY, Entry, OnInvalid, Text, parse_each, read_list, reject
from recordings.schemas import tool
from recordings.trajectory import NOT_OFFERED, Loaded, RecordedTrajectory, content_ids
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
    """An expected call."""

    action: Annotated[Text, Field(alias="Action")]
    action_input: Annotated[str, Field(alias="Action_Input")]


class Api(Entry):
    """An API with its instructions and the expected calls of each."""

    name: Annotated[Text, Field(alias="Name")]
    functions: Annotated[dict[str, str], Field(alias="Function_Description")]
    instructions: Annotated[list[Text], Field(alias="Instructions")]
    answers: Annotated[list[Annotated[list[GoldenCall], Field(min_length=1)]], Field(alias="Golden_Answers")]


def load(path: Path, on_invalid: OnInvalid = reject) -> Loaded:
    """The instructions of a file as trajectories. Raises `DataError`."""
    excluded: Counter[str] = Counter()
    entries: list[tuple[tuple[Tool, ...], tuple[Turn, ...], dict[str, str]]] = []
    apis = read_list(path, Api, on_invalid)
    for tools, instructions, answers in parse_each(
        apis, lambda api: (*_instructions(api, path), _answers(api)), on_invalid
    ):
        offered = {ASK, *(each.name for each in tools)}
        for instruction, calls in instructions:
            if calls[0].action not in offered:
                excluded[NOT_OFFERED] += 1
                continue
            excluded[NO_HISTORY] += len(calls) - 1
            entries.append((tools, (Turn("user", instruction), *_step(calls[0])), answers))
    names = content_ids(turns[0].content for _, turns, _ in entries)
    trajectories = tuple(
        RecordedTrajectory(name, tools, turns, answer_forms=forms)
        for name, (tools, turns, forms) in zip(names, entries, strict=True)
    )
    return Loaded(trajectories, dict(+excluded))


def tools_of(functions: Mapping[str, str]) -> tuple[Tool, ...]:
    """The functions of an API as tools."""
    return tuple(_tool(name, text) for name, text in functions.items() if name != _COMPONENTS)


def question_of(arguments: Mapping[str, Any]) -> str:
    """The question of a `getDetails` call."""
    return str(next(iter(arguments.values()), ""))


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None if the text is something else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _instructions(api: Api, path: Path) -> tuple[tuple[Tool, ...], list[tuple[str, list[GoldenCall]]]]:
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
    """The documented form of each function's answers, followed by the components that it may refer to."""
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
    parameters = (json_object(match["parameters"]) if match else None) or {}
    described = text[: match.start()] if match else text.partition("\nOutput:")[0]
    properties = {key: _property(str(value)) for key, value in parameters.items()}
    required = [key for key, value in parameters.items() if str(value).startswith("Required.")]
    return tool(name, described.strip(), properties, required)


def _property(text: str) -> dict[str, str]:
    match = _KIND.fullmatch(text)
    if match is None:
        return {"description": text}
    described = match["description"]
    return {"type": match["kind"].lower()} | ({"description": described} if described else {})
