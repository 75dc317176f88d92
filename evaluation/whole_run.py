"""The file of whole trajectories: what ran, then a line for each trajectory that an orchestrator ended.

JSON lines, taken up as the file of predictions is: trajectories that have a line are not asked again. The line holds
the orchestrator's own answer and the events of its stream, so everything can be measured again without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
from pydantic import Field, TypeAdapter, ValidationError

from alpha_umi.contract.roles import WireModel
from alpha_umi.contract.trajectories import Trajectory
from evaluation.asking import Asked, ask
from evaluation.errors import EmptySuite, NotTheFormat
from evaluation.files import FORMAT_REMEDY, not_the_format, parse_json, read_text, refuse_duplicates
from evaluation.growing_lines import ANOTHER_FILE, GrowingLines, OtherRun, growing_lines
from evaluation.records import Count, Name
from evaluation.suites.recorded import RecordedTrajectory
from evaluation.whole import Judge, Measured, ToldEvent, measure

CUT_REMEDY = "ask again into the same file: it goes on from the last whole line"


class WholeRunRecord(WireModel):
    """What ran: the suite, how many of its trajectories, and the steps after which an answer was demanded."""

    kind: Literal["whole-run"] = "whole-run"
    version: Literal[1] = 1
    suite: Name
    trajectories: Count
    max_steps: int | None = None


class EventRecord(WireModel):
    """An event of a trajectory's stream."""

    name: Name
    data: dict[str, Any]


class AskedRecord(WireModel):
    """What became of a recorded instruction; `expected` is its answer where that can be compared."""

    kind: Literal["asked"] = "asked"
    recorded: Name
    expected: str | None = None
    trajectory: Trajectory
    events: list[EventRecord]

    @classmethod
    def of(cls, asked: Asked, expected: str | None) -> AskedRecord:
        """The record of an answer."""
        events = [EventRecord(name=event.name, data=dict(event.data)) for event in asked.events]
        return cls(recorded=asked.recorded, expected=expected, trajectory=asked.trajectory, events=events)


@dataclass(frozen=True)
class WholeRun:
    """A whole file."""

    about: WholeRunRecord
    asked: tuple[AskedRecord, ...]

    def measured(self, judge: Judge | None = None) -> list[Measured]:
        """Every trajectory, measured."""
        return [_measured(record, judge) for record in self.asked]


_RECORD: TypeAdapter[WholeRunRecord | AskedRecord] = TypeAdapter(
    Annotated[WholeRunRecord | AskedRecord, Field(discriminator="kind")]
)


def read_whole_run(path: Path) -> WholeRun:
    """Read a file. Raises `EvaluationError`."""
    return _parse(read_text(path), path)


async def ask_all(
    client: httpx.AsyncClient,
    about: WholeRunRecord,
    recorded: Sequence[RecordedTrajectory],
    path: Path,
    *,
    concurrency: int = 4,
) -> WholeRun:
    """Ask the orchestrator behind `client` for every trajectory that has no line yet; the whole file.

    Raises `OrchestratorRefused`, after which the file can be taken up, `OtherRun` for a file of another run, and what
    `growing_lines` raises.
    """
    with growing_lines(path, _line(about), lambda text: _same(path, _parse(text, path), about, recorded)) as lines:
        there = {record.recorded for record in lines.found.asked} if lines.found else set()
        todo = (trajectory for trajectory in recorded if trajectory.id not in there)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(concurrency):
                    workers.create_task(_work(client, about, todo, lines))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
    return read_whole_run(path)


async def _work(
    client: httpx.AsyncClient,
    about: WholeRunRecord,
    todo: Iterator[RecordedTrajectory],
    lines: GrowingLines[WholeRun],
) -> None:
    for trajectory in todo:
        asked = await ask(client, trajectory, max_steps=about.max_steps)
        lines.append(_line(AskedRecord.of(asked, trajectory.answer)))


def _same(path: Path, there: WholeRun, about: WholeRunRecord, recorded: Sequence[RecordedTrajectory]) -> WholeRun:
    unknown = {record.recorded for record in there.asked} - {trajectory.id for trajectory in recorded}
    if there.about != about or unknown:
        raise OtherRun(f"{path} is a run of other trajectories, or with other limits", remedy=ANOTHER_FILE)
    return there


def _parse(text: str, path: Path) -> WholeRun:
    records = list(_records(text, path))
    if not records:
        raise EmptySuite(f"{path} is empty", remedy="ask first")
    about, *asked = records
    if not isinstance(about, WholeRunRecord):
        raise NotTheFormat(f"{path} does not begin with a `whole-run` line", remedy=FORMAT_REMEDY)
    kept = tuple(record for record in asked if isinstance(record, AskedRecord))
    if len(kept) < len(asked):
        raise NotTheFormat(f"{path} has a second `whole-run` line", remedy="keep each run in a file of its own")
    refuse_duplicates([record.recorded for record in kept], f"{path}: trajectories")
    return WholeRun(about, kept)


def _records(text: str, path: Path) -> Iterator[WholeRunRecord | AskedRecord]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            place = f"{path}, line {number:,}"
            parse_json(line, place, cut_remedy=CUT_REMEDY)
            try:
                # From the text, because a time is text in JSON only.
                yield _RECORD.validate_json(line)
            except ValidationError as error:
                raise not_the_format(place, error) from error


def _line(record: WholeRunRecord | AskedRecord) -> str:
    return record.model_dump_json() + "\n"


def _measured(record: AskedRecord, judge: Judge | None) -> Measured:
    events = [ToldEvent(event.name, event.data) for event in record.events]
    return measure(record.trajectory, events, expected=record.expected, judge=judge)
