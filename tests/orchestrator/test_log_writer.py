"""The log writer on a real store with lost acknowledgements: written rows are recognised, others are repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.trajectory import EffectIntended, TrajectoryCreated, TrajectoryFinished
from orchestrator.log import LogWriter, new_event
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.store import EventStore, NewEvent, NotStorable, SequenceConflict, StoreUnavailable, open_store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INTENT = EffectIntended("planner:0")


class LossyStore:
    """A real store whose next appends fail before or after the commit."""

    def __init__(self, store: EventStore) -> None:
        self.real = store
        self.faults: list[str] = []

    async def append(self, *arguments: Any, **options: Any) -> Any:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            raise StoreUnavailable("disk full")
        rows = await self.real.append(*arguments, **options)
        if fault == "after":
            raise StoreUnavailable("I/O error")
        return rows

    async def events(self, *arguments: Any, **options: Any) -> Any:
        return await self.real.events(*arguments, **options)


@pytest.fixture
async def lossy(tmp_path: Path) -> AsyncIterator[LossyStore]:
    async with open_store(f"sqlite:///{tmp_path}/log.db") as store:
        question = TrajectoryCreated("What?", ("look_up",))
        await store.create("t", [new_event(question)], at=NOW, instruction="What?", tools=["look_up"])
        yield LossyStore(store)


@pytest.mark.parametrize("faults", [[], ["before"], ["after"], ["before", "after"]], ids=str)
async def test_each_event_goes_in_once(lossy: LossyStore, faults: list[str]) -> None:
    lossy.faults = faults
    log_writer = LogWriter(lossy, OrchestratorMetrics(), now=lambda: NOW)  # type: ignore[arg-type]
    rows = await log_writer.append("t", after=1, events=[INTENT, INTENT])
    assert [(row.seq, row.type) for row in rows] == [(2, "effect.intended"), (3, "effect.intended")]
    assert await lossy.events("t", after=1) == rows
    assert log_writer.pending_appends == 0


async def test_an_end_sets_status_and_time(lossy: LossyStore) -> None:
    log_writer = LogWriter(lossy.real, OrchestratorMetrics(), now=lambda: NOW)
    await log_writer.append("t", after=1, events=[TrajectoryFinished()], status="cancelled")
    row = await lossy.real.get("t", owner="default")
    assert (row.status, row.finished_at) == ("cancelled", NOW)


@pytest.mark.parametrize("faults", [[], ["before"]], ids=str)
async def test_rows_of_another_writer_are_a_conflict(lossy: LossyStore, faults: list[str]) -> None:
    await lossy.real.append("t", after=1, events=[NewEvent("role.failed", {})], at=NOW)
    lossy.faults = faults
    log_writer = LogWriter(lossy, OrchestratorMetrics())  # type: ignore[arg-type]
    with pytest.raises(SequenceConflict):
        await log_writer.append("t", after=1, events=[INTENT])
    assert log_writer.pending_appends == 0


async def test_what_is_no_json_is_not_repeated(lossy: LossyStore) -> None:
    log_writer = LogWriter(lossy.real, OrchestratorMetrics())
    with pytest.raises(NotStorable):
        await log_writer.append("t", after=1, events=[EffectIntended(float("nan"))])  # type: ignore[arg-type]
