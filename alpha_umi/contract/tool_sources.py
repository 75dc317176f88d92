"""Wire models of `/v1/tool-sources`."""

from __future__ import annotations

from typing import Literal

from alpha_umi.contract.roles import WireModel

# Where a source was configured: in the settings' file, or over the API.
Origin = Literal["file", "api"]


class LeftOutInfo(WireModel):
    """An operation that did not become a tool, or an optional part that the tool `name` is offered without.

    `operation` is its method and path, `field` the place in the document.
    """

    name: str
    operation: str
    field: str
    reason: str


class ToolSourceInfo(WireModel):
    """A source without its secrets. `shared` ones are offered to all owners, others to theirs alone.

    `failed` ones are tried again; `error` says what is wrong with them. `prompt_tokens` is an estimate of the tokens
    that all its tools take in a prompt.
    """

    name: str
    kind: str
    origin: Origin
    shared: bool = False
    url: str | None
    base_url: str | None
    effect: str
    status: Literal["ready", "failed", "pending"]
    error: str | None
    tools: list[str]
    left_out: list[LeftOutInfo]
    prompt_tokens: int = 0


class ToolSourceList(WireModel):
    """`GET /v1/tool-sources`."""

    object: Literal["list"] = "list"
    data: list[ToolSourceInfo]
