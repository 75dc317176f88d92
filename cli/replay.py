"""Replay a trajectory: the rows of its log through the machine, one state after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, select
from sqlalchemy.exc import SQLAlchemyError

from alpha_umi.trajectory import State, advance, effect_of, unpack
from orchestrator.store.tables import EVENTS


class NoLog(RuntimeError):
    """There is no such log, or no such trajectory in it."""


@dataclass(frozen=True)
class Frame:
    """One row, and the state that it leads to."""

    seq: int
    kind: str
    state: State

    @property
    def line(self) -> str:
        """The frame in one line."""
        effect = effect_of(self.state)
        wanted = "nothing" if effect is None else effect.key
        return f"{self.seq:>4}  {self.kind:<22} {self.state.phase:<14} next: {wanted}"


def frames(database: Path, trajectory_id: str) -> Iterator[Frame]:
    """All frames of a trajectory, read from a SQLite log that may be in use. Raises `NoLog`."""
    state = State()
    for seq, kind, payload in _rows(database, trajectory_id):
        state = advance(state, unpack(kind, json.loads(payload)))
        yield Frame(seq, kind, state)


def _rows(database: Path, trajectory_id: str) -> list[tuple[int, str, str]]:
    engine = create_engine(f"sqlite:///file:{database}?mode=ro&uri=true")
    query = select(EVENTS.c.seq, EVENTS.c.type, EVENTS.c.payload).where(EVENTS.c.trajectory_id == trajectory_id)
    try:
        with engine.connect() as connection:
            rows = connection.execute(query.order_by(EVENTS.c.seq)).all()
    except SQLAlchemyError as error:
        raise NoLog(f"{database} cannot be read as an event log; --database names another one") from error
    finally:
        engine.dispose()
    if not rows:
        raise NoLog(f"there is no trajectory {trajectory_id} in {database}")
    return [(seq, kind, payload) for seq, kind, payload in rows]
