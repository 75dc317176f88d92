"""The rows of the event log as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

# Connections that read the event log at a time.
READERS = 4


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
    """The row of a trajectory. Times are UTC; `last_seq` is the last sequence number of its log."""

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
    owner: str = "default"


@dataclass(frozen=True)
class RequestKey:
    """Identifies a request that a client may repeat: the API key's id, the route, and the idempotency key.

    `digest` is the SHA-256 of its body, 64 hexadecimal digits: it distinguishes a repetition from another request.
    """

    key_id: str
    route: str
    key: str
    digest: str


class IdempotencyRecord(NamedTuple):
    """The record of an earlier request: digest of its body, its trajectory, and the first row that it wrote."""

    digest: str
    trajectory_id: str
    seq: int


class ToolSourceRow(NamedTuple):
    """A stored registration of a tool source. `document` is a JSON object."""

    name: str
    document: dict[str, Any]


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
ToolSources = list[ToolSourceRow]
