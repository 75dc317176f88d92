"""Synthetic answers of tools whose data gives the form of answers, but no content.

ToolAlpaca describes an answer as `Array[Object{id, tags: Array[string], author: #Author}]`, where `#Author` is
described elsewhere. Each field gets a value derived from its name (`id-1`), or the argument of the same name, so
answers are deterministic. They confirm the call and give later calls values to use. A call that lacks a required
argument is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from alpha_umi.roles.turns import Tool
from evaluation.replay.tool_server import Arguments, CallRefused, ToolAnswer, create_tool_server
from recordings.trajectory import RecordedTrajectory

NOT_TAKEN: Final = "arguments-missing"
MAX_DEPTH: Final = 6
_TOKEN: Final = re.compile(r"#?\w+|[{}\[\]:,]")
_REFERENCE: Final = re.compile(r"^(?P<name>#\w+):(?P<form>.*)$", re.MULTILINE)
# Fields that report success.
_DONE: Final[Mapping[str, Any]] = {"success": True, "status": "success", "message": "done"}


def create_synthetic_server(trajectories: Sequence[RecordedTrajectory]) -> FastAPI:
    """The tools of compatible trajectories: one name means one tool."""
    tools: dict[str, Tool] = {}
    forms: dict[str, str] = {}
    for trajectory in trajectories:
        tools |= {tool.prompt_name: tool for tool in trajectory.tools}
        if trajectory.answer_forms is not None:
            forms |= {Tool(name).prompt_name: form for name, form in trajectory.answer_forms.items()}

    def answer(name: str, arguments: Arguments) -> ToolAnswer:
        _refuse_missing(tools[name], arguments)
        return ToolAnswer(json.dumps(synthesize(forms.get(name, ""), arguments)))

    return create_tool_server("Made-up answers", tuple(tools.values()), answer)


def synthesize(form: str, arguments: Mapping[str, Any]) -> Any:
    """An answer of a form: the first line is the form, further lines define the names in it."""
    first, _, more = form.partition("\n")
    references = {match["name"]: match["form"] for match in _REFERENCE.finditer(more)}
    return _Reading(references, arguments).value(first, "value", 0)


class _Reading:
    """Makes values of forms. Text that cannot be parsed as a form is used as the value."""

    def __init__(self, references: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
        self._references = references
        self._arguments = arguments

    def value(self, form: str, name: str, depth: int) -> Any:
        return self._value(_TOKEN.findall(form), name, depth)

    def _value(self, tokens: list[str], name: str, depth: int) -> Any:
        """Consumes the tokens of the value."""
        kind = tokens.pop(0) if tokens else "Object"
        if kind.startswith("#"):
            known = depth < MAX_DEPTH and kind in self._references
            return self.value(self._references[kind], name, depth + 1) if known else self._plain(name)
        if kind == "Array" and tokens[:1] == ["["]:
            del tokens[0]
            item = self._value(tokens, name, depth)
            del tokens[:1]
            return [item]
        if kind == "Object":
            return self._object(tokens, depth) if tokens[:1] == ["{"] else {"success": True}
        return self._plain(name)

    def _object(self, tokens: list[str], depth: int) -> dict[str, Any]:
        del tokens[0]
        values: dict[str, Any] = {}
        while tokens and tokens[0] != "}":
            name = tokens.pop(0)
            if name in ",:[]{":
                continue
            if tokens[:1] == [":"]:
                del tokens[0]
                values[name] = self._value(tokens, name, depth)
            else:
                values[name] = self._plain(name)
        del tokens[:1]
        return values

    def _plain(self, name: str) -> Any:
        return self._arguments.get(name, _DONE.get(name, f"{name}-1"))


def _refuse_missing(tool: Tool, arguments: Arguments) -> None:
    missing = [name for name in tool.parameters.get("required", ()) if name not in arguments]
    if missing:
        raise CallRefused(
            NOT_TAKEN,
            "An argument is missing",
            f"give {', '.join(map(repr, missing))}",
            status=HTTPStatus.UNPROCESSABLE_ENTITY,
        )
