"""Read a trajectory's log: from the SQLite file of an orchestrator, or from an exported file.

The SQLite file may be in use; it is opened for reading only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from alpha_umi.contract.stream_events import explain
from alpha_umi.trajectory import Event, UnknownEvent, parse_event
from cli.errors import CommandError, UsageProblem

# An orchestrator brings the file of an earlier version up to date when it starts.
EARLIER_VERSION = "if an earlier version wrote it, start `alpha-umi up` on the database once, and replay it from there"


class LogRow(BaseModel):
    """A row of an exported log, one JSON object a line. Other fields (sequence number, time) are not needed."""

    model_config = ConfigDict(extra="ignore")

    type: str
    payload: dict[str, Any]


def read_export(path: Path) -> list[Event]:
    """The events of an exported log. Raises `UsageProblem` naming the line at fault."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} cannot be read: {error}") from error
    rows = [
        (f"{path} line {number}", _row(line, f"{path} line {number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    return [_event(row.type, row.payload, where) for where, row in rows]


def read_database(path: Path, trajectory_id: str) -> list[Event]:
    """The events of one trajectory in a SQLite event log. Raises `UsageProblem`."""
    try:
        from sqlalchemy import create_engine, select
        from sqlalchemy.exc import SQLAlchemyError

        from orchestrator.store.tables import EVENTS
    except ImportError as error:
        raise CommandError(f"the package {error.name} is missing", remedy="install alpha-umi[orchestrator]") from error
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    query = select(EVENTS.c.seq, EVENTS.c.type, EVENTS.c.payload).where(EVENTS.c.trajectory_id == trajectory_id)
    try:
        with engine.connect() as connection:
            rows = connection.execute(query.order_by(EVENTS.c.seq)).all()
    except SQLAlchemyError as error:
        raise UsageProblem(f"{path} cannot be read as an event log", remedy="name another one") from error
    finally:
        engine.dispose()
    if not rows:
        raise UsageProblem(f"there is no trajectory {trajectory_id} in {path}")
    return [_event(kind, json.loads(payload), f"{path} row {seq}") for seq, kind, payload in rows]


def _row(line: str, where: str) -> LogRow:
    try:
        return LogRow.model_validate_json(line)
    except ValidationError as error:
        raise UsageProblem(f"{where}: {explain(error)}", remedy="each line is an object {type, payload}") from error


def _event(kind: str, payload: dict[str, Any], where: str) -> Event:
    try:
        return parse_event({**payload, "type": kind})
    except UnknownEvent as error:
        raise UsageProblem(f"{where}: {error}", remedy=EARLIER_VERSION) from error
