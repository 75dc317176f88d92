"""`export`: served trajectories as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer

from alpha_umi.atomic import open_atomic
from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.trajectory import Status
from cli.errors import UsageProblem
from cli.options import ApiKey, StateDir, Url, connect, messages
from evaluation.quantities import parse_duration, pluralize

STATUSES: tuple[str, ...] = get_args(Status)


def export(
    output_file: Annotated[
        Path | None,
        typer.Option("--output", help="Write them to this file, which is replaced at the end.", dir_okay=False),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help=f"Only those with this status: {', '.join(STATUSES)}.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Created then or later: a time (ISO 8601), or 7d, 12h.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="Created before then.", show_default=False)] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Write the orchestrator's trajectories as JSON lines, newest first: for `evaluate drift`, or for training.

    A line is what `show ID --json` prints. Exits with 2 if no orchestrator answers; then the file is not changed.
    """
    if status is not None and status not in STATUSES:
        raise UsageProblem(f"--status: {status!r} is none", remedy=f"name one of {', '.join(STATUSES)}")
    now = datetime.now(UTC)
    first, last = _moment("--since", since, now), _moment("--until", until, now)
    if first is not None and last is not None and first >= last:
        raise UsageProblem("--since is not before --until", remedy="name an earlier time")
    with connect(url, api_key, state_dir) as client:
        trajectories = _between(client, status, first, last)
        if output_file is not None:
            messages().print(pluralize(_write_to(output_file, trajectories), "trajectory"))
            return
        for trajectory in trajectories:
            typer.echo(_line(trajectory))


def _between(
    client: SyncOrchestratorClient, status: str | None, first: datetime | None, last: datetime | None
) -> Iterator[Trajectory]:
    for trajectory in client.trajectories(status=status):
        if first is not None and trajectory.created_at < first:
            return
        if last is None or trajectory.created_at < last:
            yield trajectory


def _write_to(path: Path, trajectories: Iterable[Trajectory]) -> int:
    try:
        with open_atomic(path) as file:
            return sum(bool(file.write(_line(trajectory) + "\n")) for trajectory in trajectories)
    except OSError as error:
        raise UsageProblem(
            f"--output: {path} cannot be written: {error.strerror}", remedy="name another file"
        ) from error


def _line(trajectory: Trajectory) -> str:
    """One line in ASCII, so that it holds no control sequence of a terminal."""
    return json.dumps(trajectory.model_dump(mode="json"))


def _moment(option: str, text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    if (ago := parse_duration(text)) is not None:
        return now - ago
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageProblem(
            f"{option}: {text!r} is no time",
            remedy="write 2026-03-01, 2026-03-01T12:00Z, or how long ago: 7d, 12h, 30m",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
