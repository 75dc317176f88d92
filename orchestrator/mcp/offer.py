"""What `/mcp` offers: two tools of its own and, where the operator says so, the registered ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Final

from mcp_types import Tool as OfferedTool
from mcp_types import ToolAnnotations
from pydantic import Field

from alpha_umi.contract.roles import WireModel
from alpha_umi.contract.trajectories import MAX_INSTRUCTION_CHARACTERS, MAX_STEPS, MAX_TOOLS, Strategy
from orchestrator.tools.model import EffectClass, Tool

# A client of the SDK reads a message of 1 MiB at most.
PAGE_TOOLS: Final = 100
PAGE_BYTES: Final = 128 * 1024
_OWN_NAME: Final = re.compile(r"(run|get_trajectory)(_tool)*")


class RunArguments(WireModel):
    """Arguments of `run`."""

    instruction: Annotated[
        str, Field(min_length=1, max_length=MAX_INSTRUCTION_CHARACTERS, description="What to do or to find out")
    ]
    tools: Annotated[list[str], Field(max_length=MAX_TOOLS)] | None = Field(
        default=None, description="Names of registered tools that may be called; all of them when omitted"
    )
    strategy: Strategy = Field(
        default="chain",
        description="`chain` plans one step after the other, `dfsdt` goes back from dead ends, `single` uses one model",
    )
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = Field(
        default=None, description="Steps after which it answers with what it knows by then"
    )


class GetTrajectoryArguments(WireModel):
    """Arguments of `get_trajectory`."""

    id: Annotated[str, Field(max_length=128, description="The id in a result of `run`, such as traj_0123abcd")]


OWN_TOOLS: Final = (
    OfferedTool(
        name="run",
        title="Carry out an instruction",
        description="Carries out an instruction with the registered tools: plans steps, calls tools, and answers in "
        "plain language. Progress is reported for each step; the steps are in the structured content of the result.",
        input_schema=RunArguments.model_json_schema(),
        annotations=ToolAnnotations(read_only_hint=False, open_world_hint=True),
    ),
    OfferedTool(
        name="get_trajectory",
        title="Read a trajectory",
        description="Reads what an earlier `run` has done: its status, steps, tool calls, and answer.",
        input_schema=GetTrajectoryArguments.model_json_schema(),
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    ),
)


def name_here(registered: str) -> str:
    """The name under which a registered tool is offered: its own, unless that would be one of `OWN_TOOLS`."""
    return f"{registered}_tool" if _OWN_NAME.fullmatch(registered) else registered


def registered_name(name: str) -> str:
    """The inverse of `name_here`."""
    return name.removesuffix("_tool") if _OWN_NAME.fullmatch(name) else name


def page_of(offered: Mapping[str, Tool], after: str | None) -> tuple[list[OfferedTool], str | None]:
    """The registered tools after the one of this name, and the name with which the next page begins, if there is one.

    Raises `ValueError` if no tool has the name.
    """
    names = list(offered)
    start = 0 if after is None else names.index(after) + 1
    page: list[OfferedTool] = []
    size = 0
    for name in islice(names, start, start + PAGE_TOOLS):
        tool = offered[name]
        size += len(json.dumps(tool.parameters)) + len(tool.description)
        if page and size > PAGE_BYTES:
            break
        page.append(_offered(name, tool))
    end = start + len(page)
    return page, names[end - 1] if end < len(names) else None


def _offered(name: str, tool: Tool) -> OfferedTool:
    return OfferedTool(
        name=name_here(name),
        description=tool.description or name,
        input_schema=tool.parameters,
        annotations=ToolAnnotations(
            read_only_hint=tool.effect is EffectClass.READ,
            idempotent_hint=tool.effect is EffectClass.READ,
            open_world_hint=True,
        ),
    )
