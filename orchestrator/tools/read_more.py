"""The built-in tool `read_more`: the parts of a shortened result that its observation left out.

It is offered once a result of the trajectory was shortened, unless the user has a tool of this name. It reads what the
log stores of the result, so that the tool that gave it is not called again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alpha_umi.contract.validation import explain
from alpha_umi.trajectory import State, Step
from orchestrator.tools.json_text import Container, Value, compact_json, read_tree, write_tree
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.shorten import beginning, is_part, shorten_structure, text_units

READ_MORE: Final = "read_more"
_MAX_NAMES: Final = 20


class ReadMore(BaseModel):
    """The arguments."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[
        str, Field(description="Place in the result, such as items.12.title. Empty: the complete result")
    ] = ""
    start: Annotated[int, Field(ge=0, description="First item, line or character to show, counted from 0")] = 0
    count: Annotated[int, Field(ge=1, description="How many to show; as many as fit when left out")] | None = None
    result: Annotated[int, Field(ge=1, description="Number of the result; the newest one when left out")] | None = None


def _plain(node: Mapping[str, Any]) -> dict[str, Any]:
    """A property of pydantic's schema without the title, and without the null that only says that it is optional."""
    merged = {**node, **node.get("anyOf", [{}])[0]}
    return {key: value for key, value in merged.items() if key not in ("title", "anyOf", "default")}


_TOOL: Final = Tool(
    READ_MORE,
    "Shows parts of a result that was shortened. A mark such as [... items 3 to 99 left out] says what is missing.",
    {
        "type": "object",
        "properties": {name: _plain(node) for name, node in ReadMore.model_json_schema()["properties"].items()},
        "additionalProperties": False,
    },
    "built-in",
    EffectClass.READ,
)


class NothingToRead(Exception):
    """The arguments name nothing. The message is for the planner and has the valid values."""


def built_in_tools(state: State) -> list[Tool]:
    """The tools that the orchestrator itself offers in this state."""
    return [_TOOL] if READ_MORE not in state.tools and _shortened(state) else []


def is_built_in(state: State, name: str) -> bool:
    """Whether the orchestrator itself carries out calls of this name."""
    return any(tool.name == name for tool in built_in_tools(state))


def remedy_of(state: State) -> str:
    """How the model reads what a shortened result leaves out."""
    return "" if READ_MORE in state.tools else f"{READ_MORE} shows it"


def result_title(step: int) -> str:
    """How the model knows the result of a step."""
    return f"Result {step + 1}"


def read_request(state: State, arguments: Mapping[str, Any]) -> tuple[ReadMore, Step]:
    """The valid arguments, and the step whose result they name. Raises `NothingToRead`."""
    try:
        wanted = ReadMore.model_validate(arguments)
    except ValidationError as error:
        raise NothingToRead(explain(error)) from error
    steps = _shortened(state)
    number = max(steps, default=-1) if wanted.result is None else wanted.result - 1
    if number not in steps:
        raise NothingToRead(f"`result` is one of {', '.join(str(index + 1) for index in steps)}")
    return wanted, steps[number]


def read_more(body: str, wanted: ReadMore, step: int, max_bytes: int) -> str:
    """A part of the stored result of a step, in at most `max_bytes` bytes. Raises `NothingToRead`."""
    title, compact = result_title(step), compact_json(body)
    if compact is None:
        if wanted.path:
            raise NothingToRead(f"result {step + 1} is text without paths: leave `path` empty, and set `start`")
        return _units(*text_units(body, max_bytes), wanted, title, max_bytes, part=is_part(body))
    value = _at(read_tree(compact), wanted.path)
    title += f" at {wanted.path}" if wanted.path else ""
    if isinstance(value, Container):
        return _items(value, wanted, title, max_bytes)
    if value.startswith('"'):
        text = json.loads(value, strict=False)
        return _units(text, "characters", wanted, title, max_bytes, part=is_part(text))
    return shorten_structure(value, max_bytes)


def _shortened(state: State) -> dict[int, Step]:
    """The steps of the history whose results were shortened."""
    return {
        step.index: step
        for step in state.steps
        if step.observation is not None and step.observation.has_body and not step.abandoned
    }


def _at(value: Value, path: str) -> Value:
    """The value at a path with dots, or at a JSON pointer. Raises `NothingToRead`."""
    at = ""
    if path.startswith("/"):
        for name in path[1:].split("/"):
            value, at = _child(value, name.replace("~1", "/").replace("~0", "~"), at), f"{at}/{name}"
        return value
    rest = re.sub(r"\[(\d+)\]", r".\1", path.removeprefix("$")).strip(".")
    while rest:
        # A name may have dots itself: the longest one counts.
        fitting = [name for name in _names(value) if f"{rest}.".startswith(f"{name}.")]
        name = max(fitting, key=len, default=rest.partition(".")[0])
        value, at, rest = _child(value, name, at), f"{at}.{name}".strip("."), rest[len(name) + 1 :]
    return value


def _names(value: Value) -> list[str]:
    if isinstance(value, str):
        return []
    return [json.loads(key, strict=False) for key in (value.keys or ())[: _present(value)]]


def _present(container: Container) -> int:
    """How many of the items are there. A mark that says that others are missing is none of them."""
    return len(container.items) - is_part(container)


def _child(value: Value, name: str, at: str) -> Value:
    where = f"at {at}" if at else "at the top"
    stored = "the stored part of " if isinstance(value, Container) and is_part(value) else ""
    if isinstance(value, str):
        raise NothingToRead(f"the value {where} has no parts: end `path` there")
    if value.keys is None:
        total = _present(value)
        if re.fullmatch(r"[0-9]{1,9}", name) and int(name) < total:
            return value.items[int(name)]
        raise NothingToRead(f"{stored}the list {where} has {total} items, counted from 0, and none at {name!r}")
    names = _names(value)
    if name not in names:
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        known = ", ".join(names[:_MAX_NAMES]) + more
        raise NothingToRead(f"{stored}the object {where} has no {name!r}; it has {known or 'no members'}")
    # Of equal names the last one counts, as in every parser.
    return value.items[len(names) - 1 - names[::-1].index(name)]


def _range(total: int, unit: str, wanted: ReadMore, *, part: bool) -> range:
    if wanted.start >= total:
        stored = " in the stored part" if part else ""
        raise NothingToRead(f"there are {total} {unit}{stored}: `start` is less than that")
    return range(wanted.start, total if wanted.count is None else min(total, wanted.start + wanted.count))


def _units(units: Sequence[str], unit: str, wanted: ReadMore, title: str, max_bytes: int, *, part: bool) -> str:
    """Lines or characters from the start, as many as fit."""
    if not units:
        return f"[{title} is empty]"
    chosen = _range(len(units), unit, wanted, part=part)
    room = max_bytes - len(_head(title, unit, chosen, len(units), part=part).encode())
    shown = beginning((units[n] for n in chosen), room)
    return _head(title, unit, chosen[: len(shown)], len(units), part=part) + "".join(shown)


def _items(container: Container, wanted: ReadMore, title: str, max_bytes: int) -> str:
    """Items of a list or members of an object from the start."""
    total, unit, partial = _present(container), container.unit, is_part(container)
    if not total:
        return write_tree(container)
    chosen = _range(total, unit, wanted, part=partial)
    keys = None if container.keys is None else [container.keys[n] for n in chosen]
    part = Container(keys, [container.items[n] for n in chosen])
    head = _head(title, unit, chosen, total, part=partial)
    return head + shorten_structure(write_tree(part), max_bytes - len(head.encode()))


def _head(title: str, unit: str, shown: range, total: int, *, part: bool) -> str:
    """What is shown; `part`: the log has only a part of the value, and the total is of that."""
    of = f"the {total} that are stored" if part else total
    return f"[{title}: {unit} {shown.start} to {shown.stop - 1} of {of}]\n"
