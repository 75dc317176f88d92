"""How a chat server is held to a constraint, in one of the three ways that servers know.

    structured_outputs   vLLM: the grammar itself; the text needs no translation
    response_format      SGLang, llama.cpp, Ollama, hosted ones: a JSON Schema, of an object with the choice or the call
    tools                servers without the former: functions, of which the model has to call one

With the latter two the model writes JSON, from which the published text is made. The published grammar says more than
the schemas, so the role services check every output afterwards, as they do with each engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from alpha_umi.roles.caller import read_json
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.serving.engine import Choices, Constraint, Grammar

Way = Literal["structured_outputs", "response_format", "tools", "none"]
# From the most to the least exact.
WAYS: tuple[Way, ...] = ("structured_outputs", "response_format", "tools")

# What a server writes under a trial's constraint, and never without it.
TRIAL_WORD = "7f3a"
# With a parameter, as the grammars of calls have them: of vLLM's back ends only llguidance compiles that.
PARAMETRIC = Grammar(f'start: "#" word::0x0\nword::_: "{TRIAL_WORD}" %if is_zeros(_) | "" %if not(is_zeros(_))\n')
# Tokens of the JSON around a choice or a call.
ENVELOPE_TOKENS = 32
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
_ANY_ARGUMENTS = {"type": "object"}
# Apart from those that stand for other names.
_FUNCTION_NAME = re.compile(r"(?!tool_\d+$)[A-Za-z0-9_-]{1,64}")
# What OpenAI's strict mode takes; it refuses a schema with anything else.
_STRICT = frozenset(("type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf"))

Schema = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """A constraint as a server gets it: fields of the request, and a note for the model about the form.

    `translate` makes the text from what the model wrote and the name of the function that it called, if any; None if
    it is the text.
    """

    fields: Mapping[str, Any]
    note: str = ""
    translate: Callable[[str, str], str] | None = None


def forms(way: Way, constraint: Constraint | None) -> Iterator[Form]:
    """The forms of a constraint, the first for every server; the second if it refuses the schemas of the first."""
    match way:
        case "structured_outputs":
            yield Form(structured_outputs(constraint))
        case "response_format" | "tools" if constraint is not None:
            make = _response_format if way == "response_format" else _functions
            yield make(constraint)
            if isinstance(constraint, Grammar):
                yield make(_loosened(constraint))
        case _:
            yield Form({})


def structured_outputs(constraint: Constraint | None) -> dict[str, Any]:
    """vLLM's field for a constraint."""
    match constraint:
        case None:
            return {}
        case Choices(texts):
            return {"structured_outputs": {"choice": list(texts)}}
        case Grammar(lark):
            return {"structured_outputs": {"grammar": lark}}
    assert_never(constraint)


def cue(constraint: Constraint | None) -> str:
    """The user's message after a text that the model has begun, for servers that cannot continue one."""
    match constraint:
        case Choices(texts):
            return f"Go on with exactly one of these, and write nothing else: {' | '.join(map(str.strip, texts))}"
        case Grammar(tools=tools) if tools:
            return "Now write the call, and nothing else."
    return "Go on exactly where you stopped. Do not repeat anything."


def _loosened(grammar: Grammar) -> Grammar:
    """The same names of tools, with any arguments; any object for an answer that is one, else any value."""
    anything = json.dumps(_ANY_ARGUMENTS)
    answer = anything if json.loads(grammar.schema or anything).get("type") == "object" else "{}"
    return Grammar(grammar.lark, tools=tuple((name, anything) for name, _ in grammar.tools), schema=answer)


def _response_format(constraint: Constraint) -> Form:
    member, schema = _member(constraint)
    envelope = {"call": '{"name": "...", "arguments": {...}}', "choice": '"..."'}.get(member, "...")
    note = f'Write it as JSON: {{"{member}": {envelope}}}' if member else ""
    body = {"name": member or "answer", "strict": _is_strict(schema), "schema": schema}
    fields = {"response_format": {"type": "json_schema", "json_schema": body}}
    match member:
        case "":
            return Form(fields)
        case "call":
            return Form(
                fields, note, lambda text, _: _written_call(json.loads(text)["call"]["name"], _raw(text, "arguments"))
            )
        case "choice":
            return Form(fields, note, lambda text, _: _choice(text))
    return Form(fields, note, lambda text, _: _raw(text, member))


def _functions(constraint: Constraint) -> Form:
    note = "Answer by calling a function."
    if isinstance(constraint, Grammar) and constraint.tools:
        names = {_function_name(name, number): name for number, (name, _) in enumerate(constraint.tools)}
        schemas = [_arguments(parameters) for _, parameters in constraint.tools]
        called = dict(zip(names, schemas, strict=True))
        return Form(_call_fields(called), note, lambda text, name: _written_call(names[name], text))
    member, schema = _member(constraint)
    fields = _call_fields({member or "answer": schema})
    if not member:
        return Form(fields, note, lambda text, _: text)
    return Form(fields, note, lambda text, _: _choice(text) if member == "choice" else _raw(text, member))


def _call_fields(functions: Mapping[str, Schema]) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": schema, "strict": _is_strict(schema)}}
        for name, schema in functions.items()
    ]
    return {"tools": tools, "tool_choice": "required"}


def _member(constraint: Constraint) -> tuple[str, Schema]:
    """The schema of an object, and the member of it that has the text; "" if the object is the text."""
    match constraint:
        case Choices(texts):
            return "choice", _object({"choice": {"type": "string", "enum": list(texts)}})
        case Grammar(tools=tools) if tools:
            place = "#/properties/call/anyOf/{}/properties/arguments"
            calls = [
                _object(
                    {
                        "name": {"type": "string", "enum": [name]},
                        "arguments": _moved(_arguments(parameters), place.format(number)),
                    }
                )
                for number, (name, parameters) in enumerate(tools)
            ]
            return "call", _object({"call": {"anyOf": calls}})
        case Grammar(schema=text):
            schema = json.loads(text) if text else _ANY_ARGUMENTS
            if schema.get("type") == "object":
                return "", schema
            return "answer", _object({"answer": _moved(schema, "#/properties/answer")})
    assert_never(constraint)


def _object(properties: Mapping[str, Any]) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _arguments(parameters: str) -> Schema:
    schema = json.loads(parameters)
    return {"type": "object", **schema} if schema else _NO_ARGUMENTS


def _moved(schema: Any, place: str) -> Any:
    """A schema whose references start at another root, in which it stands at `place`."""
    match schema:
        case dict():
            return {
                key: place + value[1:]
                if key == "$ref" and isinstance(value, str) and value.startswith("#")
                else _moved(value, place)
                for key, value in schema.items()
            }
        case list():
            return [_moved(item, place) for item in schema]
    return schema


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes a schema: every object lists all of its members, and they are required."""
    if not isinstance(schema, dict) or schema.keys() - _STRICT or not schema.keys() & {"type", "anyOf"}:
        return False
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *filter(None, [schema.get("items")])]
    if "properties" in schema or schema.get("type") == "object":
        members = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or {*members} != {*schema.get("required", ())}:
            return False
    return all(map(_is_strict, parts))


def _function_name(name: str, number: int) -> str:
    return name if _FUNCTION_NAME.fullmatch(name) else f"tool_{number}"


def _written_call(name: str, arguments: str) -> str:
    return f"Action: {name}\nAction Input: {arguments}"


def _choice(text: str) -> str:
    chosen: str = json.loads(text)["choice"]
    return chosen


def _raw(text: str, member: str) -> str:
    """The unmodified JSON text of a member, the first of its name."""
    match = re.search(rf'"{member}"\s*:\s*', text)
    if match is None:
        raise UnreadableOutput(f"no {member!r}", text)
    _, end = read_json(text, match.end(), subject=member)
    return text[match.end() : end]
