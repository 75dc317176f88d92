"""Validation of what a model wrote as JSON, constrained or not: calls of offered tools, and values of a schema."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from alpha_umi.contract.value_check import first_fault
from alpha_umi.roles.turns import Tool

MAX_NAMES = 20
MAX_PLACE = 100
MAX_MESSAGE = 300
MAX_DEPTH = 32
MAX_INTEGER = 10**30


class CallInvalid(ValueError):
    """The call names no offered tool, or its arguments do not satisfy the tool's schema. The message is for a model."""


def validate_call(name: str, arguments: Mapping[str, Any], tools: Sequence[Tool]) -> None:
    """Raises `CallInvalid`, with the error and the remedy. The tools' schemas must be valid."""
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        raise CallInvalid(_unknown(name, [tool.name for tool in tools]))
    if not tool.parameters and arguments:
        raise CallInvalid(f"{name} takes no arguments")
    if (fault := value_fault(tool.parameters, dict(arguments), "the arguments")) is not None:
        raise CallInvalid(f"{name}: {fault}")


def value_fault(schema: Mapping[str, Any], value: Any, subject: str) -> str | None:
    """Why a value cannot be used, as a text for a model; None if it can. The schema must be valid.

    `subject` stands for the value itself.
    """
    if unsendable := _unsendable(value, MAX_DEPTH):
        return f"{subject}: there is {unsendable}"
    if (fault := first_fault(schema, value)) is None:
        return None
    place = ".".join(fault.place) or subject
    return f"{place[:MAX_PLACE]}: {fault.message[:MAX_MESSAGE]}"


def repeated_member(text: str) -> str | None:
    """The name of a member that an object of a JSON text has twice, of which JSON readers drop one."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            repeated.append(next(name for name in names if names.count(name) > 1))

    json.loads(text, object_pairs_hook=note)
    return repeated[0][:MAX_PLACE] if repeated else None


def _unsendable(value: Any, levels: int) -> str:
    """The part of a value that Python reads from JSON but that cannot be sent to a tool; "" if there is none."""
    if levels < 0:
        return f"more than {MAX_DEPTH} levels"
    match value:
        case str():
            return "half a surrogate pair" if not value.isascii() and _has_surrogate(value) else ""
        case float():
            return "" if math.isfinite(value) else "a number too large"
        case int():
            return "" if abs(value) <= MAX_INTEGER else "a number too large"
        case list():
            return next(filter(None, (_unsendable(item, levels - 1) for item in value)), "")
        case dict():
            pairs = (_unsendable(part, levels - 1) for pair in value.items() for part in pair)
            return next(filter(None, pairs), "")
        case _:
            return ""


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _unknown(name: str, offered: Sequence[str]) -> str:
    close = difflib.get_close_matches(name[:MAX_PLACE], offered, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = ", ..." if len(offered) > MAX_NAMES else ""
    return f"there is no tool {name[:MAX_PLACE]!r}{hint}; offered are {', '.join(offered[:MAX_NAMES])}{more}"
