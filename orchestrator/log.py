"""Between the machine's events and the rows of the event log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from alpha_umi.trajectory import (
    Event,
    IllegalEvent,
    State,
    Transition,
    UnknownEvent,
    advance,
    dump_event,
    parse_event,
)
from orchestrator.store import NewEvent, StoreDamaged, StoredEvent


@dataclass(frozen=True)
class LoggedEvent(Transition):
    """An event in the log, with the states before and after it, its number and its time (UTC)."""

    seq: int
    at: datetime


def new_event(event: Event) -> NewEvent:
    """The event as a row."""
    payload = dump_event(event)
    return NewEvent(payload.pop("type"), payload)


def read_event(row: StoredEvent) -> Event:
    """The event of a row. Raises `StoreDamaged`, which names the row and the remedy."""
    try:
        return parse_event({**row.payload, "type": row.type})
    except UnknownEvent as error:
        raise _damaged(row, error) from error


def read_log(rows: Iterable[StoredEvent], state: State | None = None) -> Iterator[LoggedEvent]:
    """A log, or its rest from `state` on, row by row. Raises `StoreDamaged`, which names the row and the remedy."""
    before = state or State()
    for row in rows:
        event = read_event(row)
        try:
            after = advance(before, event)
        except IllegalEvent as error:
            raise _damaged(row, error) from error
        yield LoggedEvent(before, event, after, row.seq, row.at)
        before = after


def state_of(log: Iterable[LoggedEvent]) -> State:
    """The state that a log adds up to."""
    state = State()
    for logged in log:
        state = logged.after
    return state


def _damaged(row: StoredEvent, error: Exception) -> StoreDamaged:
    return StoreDamaged(
        f"row {row.seq} of trajectory {row.trajectory_id} cannot be read: {error}. "
        "Run the version that wrote it, or a newer one, or restore the database from a backup"
    )
