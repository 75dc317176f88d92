"""The check of every call, whatever it was written with: an offered tool, and arguments that its full schema allows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import jsonschema_rs

from alpha_umi.roles.turns import Tool

MAX_NAMES = 20
MAX_MESSAGE = 300


class CallInvalid(ValueError):
    """The call names no offered tool, or its arguments do not satisfy the tool's schema. The message is for a model."""


def validate_call(name: str, arguments: Mapping[str, Any], tools: Sequence[Tool]) -> None:
    """Raises `CallInvalid` saying what is wrong and what would be right."""
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        raise CallInvalid(_unknown(name, [tool.name for tool in tools]))
    if not tool.parameters:
        if arguments:
            raise CallInvalid(f"{name} takes no arguments")
        return
    validator = jsonschema_rs.Draft202012Validator(dict(tool.parameters), validate_formats=False)
    for error in validator.iter_errors(dict(arguments)):
        place = ".".join(str(part) for part in error.instance_path) or "the arguments"
        raise CallInvalid(f"{name}: {place}: {error.message[:MAX_MESSAGE]}")


def _unknown(name: str, offered: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, offered, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    more = ", ..." if len(offered) > MAX_NAMES else ""
    return f"there is no tool {name[:100]!r}{hint}; offered are {', '.join(offered[:MAX_NAMES])}{more}"
