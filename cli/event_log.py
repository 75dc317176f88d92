"""Read a trajectory's event log from a SQLite file or an exported file, and print its replay.

The SQLite file may be in use; it is opened for reading only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alpha_umi.contract.validation import explain
from alpha_umi.plain_text import plain_line
from alpha_umi.trajectory import Event, State, Transition, UnknownEvent, branch, effect_key, effect_of, parse_event
from cli.errors import CommandError, UsageProblem
from cli.options import as_text

# An orchestrator migrates the database when it starts.
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
        raise UsageProblem(f"{where}: {explain(error)}", remedy="write one object {type, payload} per line") from error


def _event(kind: str, payload: dict[str, Any], where: str) -> Event:
    try:
        return parse_event({**payload, "type": kind})
    except UnknownEvent as error:
        raise UsageProblem(f"{where}: {error}", remedy=EARLIER_VERSION) from error


def print_transitions(console: Console, made: Sequence[Transition]) -> None:
    """Print a table of events with the resulting phase and effect, and the outcome."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for heading in ("event", "phase", "wants"):
        table.add_column(heading, no_wrap=True)
    table.add_column("steps", justify="right")
    searches = bool(made) and made[-1].after.strategy == "dfsdt"
    if searches:
        table.add_column("branch", no_wrap=True)
    for number, transition in enumerate(made, start=1):
        state = transition.after
        effect = effect_of(state)
        table.add_row(
            str(number),
            Text(transition.event.type),
            Text(state.phase, style="cyan"),
            Text("" if effect is None else effect_key(effect)),
            str(len(state.steps)),
            *([_branch(state)] if searches else []),
        )
    console.print(table)
    if made:
        _print_outcome(console, made[-1].after)


def _branch(state: State) -> Text:
    return Text(" › ".join(str(step.index + 1) for step in branch(state)))


def _print_outcome(console: Console, last: State) -> None:
    console.print(Text("status  ", style="dim") + Text(last.status, style="bold"))
    if last.error is not None:
        why = f"{last.error.code}: {last.error.detail}"
        console.print(Text("because ", style="dim") + Text(plain_line(why)), soft_wrap=True)
    if last.answer is not None:
        console.print(Text("answer  ", style="dim") + as_text(last.answer), soft_wrap=True)
