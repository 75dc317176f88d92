"""Wire models of the client's input to a trajectory: client tools, their outputs, further messages."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from alpha_umi.contract.roles import ToolModel, WireModel
from alpha_umi.roles.turns import NAME_CHARACTERS

MAX_MESSAGE_CHARACTERS = 32_000
MAX_OUTPUT_CHARACTERS = 1_000_000
MAX_CALL_ID_CHARACTERS = 128


class ClientTool(ToolModel):
    """A tool that the client executes. `parameters` is a JSON Schema of type object; empty means no arguments."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS, pattern=r"^[A-Za-z0-9_.-]+$")]


def _form(tool: Any) -> str:
    return "(name)" if isinstance(tool, str) else "(definition)"


# Tags are in parentheses, so that they can be removed from the location of an error.
OfferedTool = Annotated[
    Annotated[str, Field(max_length=256), Tag("(name)")] | Annotated[ClientTool, Tag("(definition)")],
    Discriminator(_form),
]


def not_blank(text: str, info: ValidationInfo) -> str:
    """The text. Raises `ValueError` if it is blank."""
    if not text.strip():
        raise ValueError(f"the {info.field_name} is blank; write the instruction")
    return text


class AddMessage(WireModel):
    """`POST /v1/trajectories/{id}/messages`."""

    content: Annotated[str, Field(min_length=1, max_length=MAX_MESSAGE_CHARACTERS)]
    stream: bool = False
    background: bool = False

    _check_text = field_validator("content")(not_blank)


class ToolOutput(WireModel):
    """The output of one call. `is_error`: it failed, and `content` says why."""

    call_id: Annotated[str, Field(min_length=1, max_length=MAX_CALL_ID_CHARACTERS)]
    content: Annotated[str, Field(max_length=MAX_OUTPUT_CHARACTERS)]
    is_error: bool = False


class GiveOutputs(WireModel):
    """`POST /v1/trajectories/{id}/tool_outputs`. One call is pending at a time, so there is one output."""

    outputs: Annotated[list[ToolOutput], Field(min_length=1, max_length=1)]
    stream: bool = False
    background: bool = False
