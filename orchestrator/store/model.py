"""The rows of the event log as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from alpha_umi.web.keys import DEFAULT_OWNER

# Connections that read the event log at a time.
READERS = 4
# In place of an owner: tool sources that are offered to all owners. No owner has this name.
SHARED: Final = ""


@dataclass(frozen=True)
class NewEvent:
    """An event to append. `payload` is a JSON object."""

    type: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class StoredEvent:
    """A row of a log. `seq` counts from 1 without gaps; `at` is UTC and does not define the order."""

    trajectory_id: str
    seq: int
    type: str
    payload: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class TrajectoryRow:
    """The row of a trajectory, which belongs to `owner`. Times are UTC; `last_seq` is the last number of its log."""

    id: str
    created_at: datetime
    finished_at: datetime | None
    status: str
    instruction: str
    strategy: str
    tools: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    background: bool = False
    last_seq: int = 0
    owner: str = DEFAULT_OWNER
    tool_set: str | None = None


@dataclass(frozen=True)
class RequestKey:
    """Identifies a request that a client may repeat: its owner, the route, and the idempotency key.

    `digest` is the SHA-256 of its body, 64 hexadecimal digits: it distinguishes a repetition from another request.
    """

    owner: str
    route: str
    key: str
    digest: str


class LogEnd(NamedTuple):
    """The id of a trajectory and the last number of its log: a row without what can be damaged."""

    id: str
    last_seq: int


class IdempotencyRecord(NamedTuple):
    """The record of an earlier request: digest of its body, its trajectory, and the first row that it wrote."""

    digest: str
    trajectory_id: str
    seq: int


@dataclass(frozen=True)
class TurnRecord:
    """A request of a standard interface, which begins a turn or answers a call, written with its first row.

    `document` is what the interface shows of the request again. `digest` is that of the conversation that the request
    carries, `conversation` the id of the stored conversation that it belongs to.
    """

    owner: str
    interface: str
    document: dict[str, Any]
    digest: str | None = None
    conversation: str | None = None


@dataclass(frozen=True, kw_only=True)
class TurnRow(TurnRecord):
    """A stored record: it begins with row `seq` of its trajectory."""

    trajectory_id: str
    seq: int
    at: datetime


class ToolSourceRow(NamedTuple):
    """A stored registration of a tool source. `document` is a JSON object; `owner` may be `SHARED`."""

    owner: str
    name: str
    document: dict[str, Any]


class UsedRate(NamedTuple):
    """Until when the units of a kind that an owner used count, in UTC."""

    owner: str
    kind: str
    until: datetime


@dataclass(frozen=True)
class AuditEntry:
    """An act of an API key for its owner: what was done to which object. `at` is UTC, `details` a JSON object."""

    at: datetime
    key_id: str
    owner: str
    action: str
    object: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AuditRow(AuditEntry):
    """A recorded act. `id` counts up."""

    id: int = field(kw_only=True)


@dataclass(frozen=True)
class Snapshot:
    """JSON texts of a finished trajectory, computed from its log up to row `seq`: a cache of what a replay leads to.

    `version` is that of their form. `steps` is None where only the summary was read.
    """

    trajectory_id: str
    seq: int
    version: str
    summary: str
    steps: str | None


class Page(NamedTuple):
    """Part of a list, and whether there is more after it."""

    rows: list[TrajectoryRow]
    has_more: bool


# `list` is a method of the store, so that inside its class the built-in type needs another name.
Log = list[StoredEvent]
Ids = list[str]
LogEnds = list[LogEnd]
Rows = list[TrajectoryRow]
ToolSources = list[ToolSourceRow]
UsedRates = list[UsedRate]
AuditLog = list[AuditRow]
Turns = list[TurnRow]
