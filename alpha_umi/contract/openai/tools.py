"""Tools of a Responses request, and which of them the model may or must call (Open Responses 2026-04-24)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alpha_umi.contract.client_turns import ClientTool
from alpha_umi.contract.openai.request_model import RequestModel, by_type, type_of
from alpha_umi.contract.roles import MAX_DESCRIPTION_CHARACTERS, MAX_NAME_CHARACTERS, Parameters
from alpha_umi.contract.trajectories import MAX_TOOLS
from alpha_umi.roles.turns import NAME_CHARACTERS

FUNCTION_NAME = r"^[a-zA-Z0-9_.-]+$"

ToolName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]


class FunctionTool(RequestModel):
    """A tool that the client executes. `strict` changes nothing: arguments always match the schema."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS, pattern=FUNCTION_NAME)]
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] | None = None
    parameters: Parameters | None = None
    strict: bool | None = None

    @property
    def definition(self) -> ClientTool:
        """The tool as the orchestrator's own interface has it."""
        return ClientTool(name=self.name, description=self.description or "", parameters=self.parameters or {})


class RegisteredTools(RequestModel):
    """Tools that the server calls: those of the names, or all of them."""

    type: Literal["alpha_umi:registered"]
    names: Annotated[list[ToolName], Field(min_length=1, max_length=MAX_TOOLS)] | None = None


ResponseTool = Annotated[
    Annotated[FunctionTool, Tag("(function)")] | Annotated[RegisteredTools, Tag("(alpha_umi:registered)")],
    by_type("function", "alpha_umi:registered"),
]


class FunctionChoice(RequestModel):
    """The tool to call first: one of the client's, or a registered one."""

    type: Literal["function"]
    name: ToolName


class AllowedTools(RequestModel):
    """The tools that may be called; with the mode `required` one of them must be."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required", "none"] = "auto"
    tools: Annotated[
        list[
            Annotated[
                Annotated[FunctionChoice, Tag("(function)")]
                | Annotated[RegisteredTools, Tag("(alpha_umi:registered)")],
                by_type("function", "alpha_umi:registered"),
            ]
        ],
        Field(min_length=1, max_length=MAX_TOOLS),
    ]


def choice_tag(choice: Any) -> str:
    """The tag of a `tool_choice`: `(mode)`, or its type in parentheses."""
    return "(mode)" if isinstance(choice, str) else f"({type_of(choice)})"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(mode)")]
    | Annotated[FunctionChoice, Tag("(function)")]
    | Annotated[AllowedTools, Tag("(allowed_tools)")],
    Discriminator(
        choice_tag,
        custom_error_type="unsupported_choice",
        custom_error_message="a choice is none, auto, required, or an object of the type function or allowed_tools",
    ),
]
