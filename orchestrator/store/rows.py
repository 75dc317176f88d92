"""Conversion between the model and table rows: JSON text and times, checked in both directions.

JSON is strict: no NaN, nothing that another parser would refuse. A row that cannot be read raises `StoreDamaged` with
its place, so that a corrupt row is never taken for data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from orchestrator.store.errors import NotStorable, StoreDamaged
from orchestrator.store.model import (
    AuditEntry,
    AuditRow,
    IdempotencyRecord,
    NewEvent,
    RequestKey,
    StoredEvent,
    ToolSourceRow,
    TrajectoryRow,
    TurnRecord,
    TurnRow,
)

Row = dict[str, Any]


def event_rows(trajectory_id: str, events: Sequence[NewEvent], *, after: int, at: datetime) -> list[Row]:
    """Rows for `events`, numbered from `after` + 1. Raises `NotStorable`."""
    time = encode_time(at)
    return [
        {
            "trajectory_id": trajectory_id,
            "seq": seq,
            "type": event.type,
            "payload": encode_json(event.payload, name=f"the payload of {event.type}"),
            "at": time,
        }
        for seq, event in enumerate(events, start=after + 1)
    ]


def read_event(row: Mapping[str, Any]) -> StoredEvent:
    """The event of a row. Raises `StoreDamaged`."""
    with _reading(f"event {row['seq']} of trajectory {row['trajectory_id']}"):
        return StoredEvent(
            row["trajectory_id"], row["seq"], row["type"], _object(row["payload"]), decode_time(row["at"])
        )


def trajectory_row(trajectory: TrajectoryRow) -> Row:
    """The row of a trajectory. Raises `NotStorable`."""
    return {
        "id": storable_text(trajectory.id, name="id"),
        "created_at": encode_time(trajectory.created_at),
        "finished_at": None if trajectory.finished_at is None else encode_time(trajectory.finished_at),
        "status": trajectory.status,
        "instruction": storable_text(trajectory.instruction, name="instruction"),
        "strategy": trajectory.strategy,
        "tools": encode_json(list(trajectory.tools), name="tools"),
        "metadata": encode_json(trajectory.metadata, name="metadata"),
        "background": trajectory.background,
        "last_seq": trajectory.last_seq,
        "owner": storable_text(trajectory.owner, name="owner"),
        "tool_set": trajectory.tool_set,
    }


def read_trajectory(row: Mapping[str, Any]) -> TrajectoryRow:
    """The trajectory of a row. Raises `StoreDamaged`."""
    with _reading(f"trajectory {row['id']}"):
        return TrajectoryRow(
            id=row["id"],
            created_at=decode_time(row["created_at"]),
            finished_at=None if row["finished_at"] is None else decode_time(row["finished_at"]),
            status=row["status"],
            instruction=row["instruction"],
            strategy=row["strategy"],
            tools=_strings(row["tools"]),
            metadata=_object(row["metadata"]),
            background=row["background"],
            last_seq=row["last_seq"],
            owner=row["owner"],
            tool_set=row["tool_set"],
        )


def request_row(request: RequestKey, trajectory_id: str, *, seq: int, at: datetime) -> Row:
    """The row of a request whose first event is `seq`."""
    return {**vars(request), "trajectory_id": trajectory_id, "seq": seq, "at": encode_time(at)}


def read_request(row: Mapping[str, Any]) -> IdempotencyRecord:
    """The record of a row."""
    return IdempotencyRecord(row["digest"], row["trajectory_id"], row["seq"])


def turn_row(turn: TurnRecord, trajectory_id: str, *, seq: int, at: datetime) -> Row:
    """The row of a request whose first event is `seq`. Raises `NotStorable`."""
    document = encode_json(turn.document, name="the request")
    return {**vars(turn), "document": document, "trajectory_id": trajectory_id, "seq": seq, "at": encode_time(at)}


def read_turn(row: Mapping[str, Any]) -> TurnRow:
    """The request of a row. Raises `StoreDamaged`."""
    with _reading(f"request {row['seq']} of trajectory {row['trajectory_id']}"):
        return TurnRow(**{**row, "document": _object(row["document"]), "at": decode_time(row["at"])})


def read_tool_source(row: Mapping[str, Any]) -> ToolSourceRow:
    """The registration of a row. Raises `StoreDamaged`."""
    with _reading(f"tool source {row['name']}"):
        return ToolSourceRow(row["owner"], row["name"], _object(row["document"]))


def audit_row(entry: AuditEntry) -> Row:
    """The row of an act. Raises `NotStorable`."""
    return {**vars(entry), "details": encode_json(entry.details, name="details"), "at": encode_time(entry.at)}


def read_audit(row: Mapping[str, Any]) -> AuditRow:
    """The act of a row. Raises `StoreDamaged`."""
    with _reading(f"entry {row['id']} of the audit log"):
        return AuditRow(**{**row, "details": _object(row["details"]), "at": decode_time(row["at"])})


def encode_json(value: Any, *, name: str) -> str:
    """Strict JSON text, ASCII only: lone surrogates, which models generate, survive as escapes."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(f"{name} has no JSON form: {error}") from error


def storable_text(value: str, *, name: str) -> str:
    """The text itself. Raises `NotStorable` when it is not Unicode that UTF-8 can write."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotStorable(f"{name} is not valid Unicode at character {error.start}: send whole characters") from error
    return value


def encode_time(time: datetime) -> str:
    """UTC with microseconds, always of the same width. Raises `ValueError` for a time without a zone."""
    if time.tzinfo is None:
        raise ValueError("a time of the event log needs a time zone")
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def decode_time(text: str) -> datetime:
    """The time that `encode_time` wrote. Raises `ValueError` for anything else."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return time.astimezone(UTC)


def read_object(text: str, *, place: str) -> dict[str, Any]:
    """The JSON object that a column holds. Raises `StoreDamaged`, which names the place."""
    with _reading(place):
        return _object(text)


@contextmanager
def _reading(place: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreDamaged(f"{place} cannot be read ({error}): restore the database from a backup") from error


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _strings(text: str) -> tuple[str, ...]:
    value = json.loads(text)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("no JSON list of strings")
    return tuple(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
