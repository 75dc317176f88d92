"""Turns and tools as readers make them of what a data set says, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.turns import Tool, Turn
from evaluation.suites.recorded import plan_turn

# Why a trajectory is left out, for all readers.
NO_TOOLS: Final = "no tool is on offer"
NO_START: Final = "it does not begin with the user"
# Names that data sets have for the types of JSON Schema.
_TYPES: Final[Mapping[str, str]] = {
    "str": "string",
    "text": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "dict": "object",
    "any": "string",
    "datetime": "string",
    "date": "string",
    "time": "string",
}
_JSON_TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


@dataclass(frozen=True)
class SaidCall:
    """A call, and what came back where that is known."""

    name: str
    arguments: Mapping[str, Any]
    observation: str | None = None


def calls_in_turn(thought: str, calls: Sequence[SaidCall]) -> Iterator[Turn]:
    """Calls that were made at once, one step after the other, the thought before the first.

    They end after the first call of which it is not known what came back.
    """
    for number, call in enumerate(calls):
        yield plan_turn(thought if number == 0 else "", "caller")
        yield Turn("caller", write_call(call.name, call.arguments))
        if call.observation is None:
            return
        yield Turn("observation", call.observation)


def answered(thought: str, answer: str) -> Iterator[Turn]:
    """A conclusion and its answer."""
    yield from (plan_turn(thought, "conclusion"), Turn("conclusion", answer))


def gave_up(thought: str) -> Iterator[Turn]:
    """Giving up."""
    yield plan_turn(thought, "give up")


def tool(name: str, description: str, properties: Mapping[str, Any], required: Iterable[str] = ()) -> Tool:
    """A tool with a JSON Schema of what a data set says of its parameters."""
    shown = {key: _property(said) for key, said in properties.items()}
    needed = [key for key in required if key in shown]
    return Tool(name, description, {"type": "object", "properties": shown} | ({"required": needed} if needed else {}))


def _property(said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        return {"description": str(said)}
    kind = str(said.get("type", "")).strip()
    name = _TYPES.get(kind.partition("[")[0].lower(), kind)
    schema: dict[str, Any] = {"type": name} if name in _JSON_TYPES else {}
    if "description" in said:
        schema["description"] = str(said["description"])
    return schema | ({"enum": list(said["enum"])} if isinstance(said.get("enum"), list) and said["enum"] else {})
