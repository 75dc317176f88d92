"""Wire models of `/v1/tools/{name}`: a tool in detail, and a call of it by hand, outside of any trajectory."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from alpha_umi.contract.roles import WireModel
from alpha_umi.contract.trajectories import ToolInfo


class ToolRequest(WireModel):
    """The request of a call, without its credentials: `credentials` names their places, as in `query api_key`."""

    method: str
    url: str
    headers: dict[str, str]
    credentials: list[str]
    body: str | None


class ToolDetails(ToolInfo):
    """`GET /v1/tools/{name}`. `example`: the smallest valid arguments; null, like `request`, if none were found."""

    example: dict[str, Any] | None
    request: ToolRequest | None


class CallTool(WireModel):
    """`POST /v1/tools/{name}/calls`. `confirm`: carry out a call that may change something."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    confirm: bool = False


class ToolCallResult(WireModel):
    """The result of a call. `status` is null if no answer came.

    `observation` is the result, of which the planner may see less. `truncated`: it is shortened to 64 KiB, or the
    answer was longer than what is read.
    """

    request: ToolRequest
    status: int | None
    observation: str
    is_error: bool
    truncated: bool
    duration_ms: int
