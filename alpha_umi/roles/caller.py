"""The caller's text: `Action:` with a tool's name, `Action Input:` with a JSON object."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from alpha_umi.roles.errors import UnreadableOutput

# Prefix of the observation when the caller's output is not a valid call; the reason follows.
NO_CALL = "No call was made: "
_CALL = re.compile(r"\s*Action:[ \t]*(?P<name>[^\n]*?)[ \t]*\n\s*Action Input:\s*", re.DOTALL)
_JSON_CALL = re.compile(r'[^{]*\{\s*"name"\s*:\s*(?P<name>"(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*')


@dataclass(frozen=True)
class Call:
    """A caller's output. `arguments_text` is the unmodified JSON text."""

    name: str
    arguments: Mapping[str, Any]
    arguments_text: str

    @property
    def text(self) -> str:
        """The caller's turn for the history."""
        return f"Action: {self.name}\nAction Input: {self.arguments_text}"


def parse_call(text: str) -> Call:
    """Parse a caller's output; text after the JSON object is dropped.

    Raises `UnreadableOutput` naming what is missing or broken.
    """
    match = _CALL.match(text)
    if match is None:
        raise UnreadableOutput(_missing(text), text)
    if not match["name"]:
        raise UnreadableOutput("'Action:' names no tool", text)
    arguments, end = read_json(text, match.end(), subject="'Action Input:'")
    if not isinstance(arguments, dict):
        raise UnreadableOutput("'Action Input:' is not a JSON object", text)
    return Call(match["name"], arguments, text[match.end() : end])


def parse_json_call(text: str) -> Call:
    """Parse a call that a model wrote as a JSON object; text around it is dropped.

    Raises `UnreadableOutput` naming what is missing or broken.
    """
    match = _JSON_CALL.match(text)
    if match is None:
        raise UnreadableOutput('no call: the text holds no {"name": ..., "arguments": {...}}', text)
    name, _ = read_json(match["name"], subject="'name'")
    arguments, end = read_json(text, match.end(), subject="'arguments'")
    if not isinstance(arguments, dict):
        raise UnreadableOutput("'arguments' is not a JSON object", text)
    return Call(name, arguments, text[match.end() : end])


def as_json_call(text: str) -> str:
    """A caller's turn of the published form as a JSON object; any other text as it is."""
    try:
        call = parse_call(text)
    except UnreadableOutput:
        return text
    return f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments_text}}}'


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """A caller's turn in the published form, arguments indented by two as the training data has them."""
    return f"Action: {name}\nAction Input: {json.dumps(arguments, indent=2) if arguments else '{}'}"


def read_json(text: str, start: int = 0, *, subject: str) -> tuple[Any, int]:
    """The JSON value that begins at an offset, and where it ends. Raises `UnreadableOutput`, which names `subject`."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise UnreadableOutput(f"{subject} is not JSON: {error.msg} at character {error.pos - start}", text) from error
    except (RecursionError, ValueError) as error:
        reason = f"{subject} is not JSON that can be read: too deep, or a number too long or too large"
        raise UnreadableOutput(reason, text) from error
    return value, end


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is no JSON value", name, 0)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _missing(text: str) -> str:
    if "Action:" not in text:
        return "no 'Action:' line"
    if "Action Input:" not in text:
        return "no 'Action Input:' line"
    return "'Action:' and 'Action Input:' do not open the text, each on its own line"
