"""What goes into the event log and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

# Connections that read the event log at a time.
READERS = 4


@dataclass(frozen=True)
class NewEvent:
    """An event that has no place in a log yet. `payload` is a JSON object."""

    type: str
    payload: dict[str, Any]


@dataclass(frozen=True)
class StoredEvent:
    """A row of a log. `seq` counts from 1 without gaps; `at` is UTC and says nothing about the order."""

    trajectory_id: str
    seq: int
    type: str
    payload: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class TrajectoryRow:
    """What is known of a trajectory without reading its log. Times are UTC; `last_seq` is the end of the log."""

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


@dataclass(frozen=True)
class RequestKey:
    """What identifies a request that a client may repeat: whose it is, where it went, and its idempotency key.

    `digest` is that of its body, 64 hexadecimal digits; it says whether a second request is the same one.
    """

    key_id: str
    route: str
    key: str
    digest: str


class KeptRequest(NamedTuple):
    """What became of an earlier request: its body's digest, its trajectory, and the first row that it wrote."""

    digest: str
    trajectory_id: str
    seq: int


class ToolSourceRow(NamedTuple):
    """A registration that outlives the process. `document` is a JSON object."""

    name: str
    document: dict[str, Any]


class Page(NamedTuple):
    """Part of a list, and whether there is more after it."""

    rows: list[TrajectoryRow]
    has_more: bool


# `list` is a method of the store, so that inside its class the built-in type needs another name.
Log = list[StoredEvent]
Ids = list[str]
ToolSources = list[ToolSourceRow]
