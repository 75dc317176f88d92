"""The tools of a request, and which of them its turn may or must call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alpha_umi.contract.client_turns import ClientTool
from alpha_umi.contract.openai.tools import AllowedTools, FunctionChoice, FunctionTool, RegisteredTools
from alpha_umi.contract.problems import FieldProblem, ServiceError, refusal
from alpha_umi.roles.turns import Tool
from alpha_umi.trajectory import State, TurnOptions
from orchestrator.api.tools import offered_tools, select_tools
from orchestrator.assembly import Orchestrator
from orchestrator.openai.previous import PreviousResponse
from orchestrator.tools.model import Tool as RegisteredTool
from orchestrator.tools.tool_sets import ToolSet

_POSITION = re.compile(r"^tools\.(\d+)")


@dataclass(frozen=True)
class SelectedTools:
    """All names in order, the client's tools, and the registered ones; None: those of the previous response."""

    names: tuple[str, ...]
    client_tools: tuple[Tool, ...]
    registered: Mapping[str, RegisteredTool] | None = None

    async def stored(self, orchestrator: Orchestrator, previous: PreviousResponse | None) -> ToolSet:
        """The tool set of the registered ones. Raises `StoreError`."""
        if self.registered is None and previous is not None and previous.ended.tools is not None:
            return previous.ended.tools
        return await orchestrator.tool_sets.save(self.registered or {})

    @property
    def registered_names(self) -> list[str]:
        """The names of the tools that the server calls."""
        client_names = {tool.name for tool in self.client_tools}
        return [name for name in self.names if name not in client_names]


def inherited_tools(state: State) -> SelectedTools:
    """Those of a trajectory that goes on."""
    return SelectedTools(state.tools, state.client_tools)


async def selected_tools(
    orchestrator: Orchestrator, tools: Sequence[FunctionTool | RegisteredTools] | None, *, owner: str
) -> SelectedTools:
    """Those that a request selects; without `tools` all that are registered. Raises `ServiceError`."""
    entries = [RegisteredTools(type="alpha_umi:registered")] if tools is None else tools
    registered = [entry for entry in entries if isinstance(entry, RegisteredTools)]
    names = [name for entry in registered for name in entry.names or ()]
    view = await offered_tools(orchestrator, owner, names if names or not registered else None)
    listed: list[str | ClientTool] = []
    places: list[str] = []
    for position, tool in enumerate(entries):
        if isinstance(tool, FunctionTool):
            listed.append(tool.definition)
            places.append(f"tools.{position}")
        else:
            names = list(view.offered) if tool.names is None else tool.names
            listed += names
            places += [f"tools.{position}.names.{number}" for number in range(len(names))]
    try:
        selection = await select_tools(view, listed)
    except ServiceError as error:
        raise _at_their_places(error, places) from error
    return SelectedTools(selection.names, selection.client_tools, selection.registered)


def tool_options(
    options: TurnOptions, choice: str | FunctionChoice | AllowedTools, tools: SelectedTools
) -> TurnOptions:
    """The options with a `tool_choice`. Raises `ServiceError` for a tool that is not there."""
    match choice:
        case FunctionChoice():
            _require_known(choice.name, tools, "tool_choice.name")
            return replace(options, must_call=True, first_tools=(choice.name,))
        case AllowedTools():
            allowed = () if choice.mode == "none" else _allowed(choice, tools)
            return replace(options, tools=allowed, must_call=choice.mode == "required")
        case "none":
            return replace(options, tools=())
        case "required":
            if not tools.names:
                raise refusal("tool_choice", "a call is required, and there is no tool", "offer tools")
            return replace(options, must_call=True)
        case _:
            return options


def _allowed(choice: AllowedTools, tools: SelectedTools) -> tuple[str, ...]:
    names: list[str] = []
    for position, entry in enumerate(choice.tools):
        if isinstance(entry, FunctionChoice):
            _require_known(entry.name, tools, f"tool_choice.tools.{position}.name")
            names.append(entry.name)
        else:
            for number, name in enumerate(entry.names or ()):
                _require_known(name, tools, f"tool_choice.tools.{position}.names.{number}")
            names += tools.registered_names if entry.names is None else entry.names
    return tuple(dict.fromkeys(names))


def _require_known(name: str, tools: SelectedTools, field: str) -> None:
    if name not in tools.names:
        raise refusal(field, f"there is no tool {name[:100]!r} among those of the request", "name one of `tools`")


def _at_their_places(error: ServiceError, places: Sequence[str]) -> ServiceError:
    """The error with the request's own fields instead of positions in the list of all tools."""
    problems = [
        FieldProblem(
            field=_POSITION.sub(lambda at: places[int(at[1])], each.field), **each.model_dump(exclude={"field"})
        )
        for each in error.errors
    ]
    return ServiceError(error.kind, error.detail, errors=problems, extra=error.extra, headers=error.headers)
