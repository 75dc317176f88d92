"""Tools as the rest of the orchestrator knows them: description, effect class, and result of a call.

Leaves out where tools come from and how they are called; see `registry` and `source`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from orchestrator.store import SHARED


class EffectClass(StrEnum):
    """Whether a call may be repeated; decides what happens to a call that a crash interrupted.

    `READ` changes nothing and may be repeated. `KEYED_WRITE` may be repeated with the same idempotency key.
    `UNKEYED_WRITE` is never sent a second time.
    """

    READ = "read"
    KEYED_WRITE = "keyed_write"
    UNKEYED_WRITE = "unkeyed_write"


@dataclass(frozen=True)
class Tool:
    """A registered tool. `parameters` is a JSON Schema of type object, `source` the tool source's name.

    `address` is where calls go, such as `GET https://api.example/items/{id}`, with a digest of how the arguments are
    sent (None where it was not recorded). `owner` is the one whom the source belongs to, or `SHARED`.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    source: str
    effect: EffectClass
    address: str | None = None
    owner: str = SHARED

    @cached_property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of the definition."""
        return hashlib.sha256(json.dumps(self.record()).encode()).hexdigest()

    def is_same(self, other: Tool) -> bool:
        """Whether a call of the other is what a call of this one was, as far as it was recorded."""
        return self.digest == (other if self.address is not None else replace(other, address=None)).digest

    def record(self) -> dict[str, Any]:
        """The fields as a JSON object. `dataclasses.asdict` copies every schema, which is slow for thousands."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class LeftOut:
    """An operation of a source that did not become a tool, or an optional part that a tool is offered without.

    `name` is the tool name that it has or would have had, `operation` its method and path, `field` a JSON pointer into
    the document, and `reason` says why, and what to do.
    """

    name: str
    operation: str
    field: str
    reason: str

    def map_texts(self, change: Callable[[str], str]) -> LeftOut:
        """The same with what `change` makes of each text."""
        return LeftOut(change(self.name), change(self.operation), change(self.field), change(self.reason))


@dataclass(frozen=True)
class ToolResult:
    """The result of a call as text, of any length. `truncated`: the answer was longer than `content`.

    `status` is the HTTP status, if an answer came.
    """

    content: str
    is_error: bool
    truncated: bool
    status: int | None = None


@dataclass(frozen=True)
class RequestPreview:
    """A request without its credentials, whose places alone are named, as in `header authorization`."""

    method: str
    url: str
    headers: Mapping[str, str]
    credentials: tuple[str, ...]
    body: str | None
