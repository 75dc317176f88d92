"""`show`, `replay` and `export`: recorded trajectories, their event logs, and JSON Lines of many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from alpha_umi.atomic import open_atomic
from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.stream_events import EventNotUnderstood, machine_events
from alpha_umi.contract.trajectories import Prune, Trajectory, differing_fields
from alpha_umi.quantities import parse_duration, pluralize
from alpha_umi.trajectory import Event, IllegalEvent, Status, Transition, transitions
from cli.commands.questions import print_json, read_events
from cli.errors import SAME_VERSION, NotUnderstood, UsageProblem, understood
from cli.event_log import print_transitions, read_database, read_export
from cli.options import ApiKey, AsJson, StateDir, Url, connect, messages, output
from cli.steps_view import StepsView, ended


def show(
    trajectory_id: Annotated[str, typer.Argument(help="Id of a trajectory.")],
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a trajectory: every thought, call and observation, and the answer."""
    with connect(url, api_key, state_dir) as client:
        trajectory = client.trajectory(trajectory_id)
    if as_json:
        print_json(trajectory)
    else:
        StepsView(output()).trajectory(trajectory)


def replay(
    trajectory_id: Annotated[
        str | None, typer.Argument(help="Id of a trajectory that has ended.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Replay an exported log: one JSON row {type, payload} per line.", show_default=False),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="Read the log from this SQLite file, not over HTTP.", show_default=False)
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Replay the log of a trajectory through the state machine, and print every state.

    Exits with 1 if the log does not lead to the trajectory that the orchestrator has.
    """
    if file is not None and trajectory_id is None and database is None:
        _print_log(read_export(file))
    elif database is not None and trajectory_id is not None and file is None:
        _print_log(read_database(database, trajectory_id))
    elif trajectory_id is not None and file is None:
        with connect(url, api_key, state_dir) as client:
            _replay_stream(client, trajectory_id, output())
    else:
        raise UsageProblem("give the id of a trajectory (and --database, to read a file of logs), or --file alone")


def _print_log(events: Sequence[Event]) -> None:
    print_transitions(output(), _transitions(events))


def _replay_stream(client: SyncOrchestratorClient, trajectory_id: str, console: Console) -> None:
    if client.trajectory(trajectory_id).status in ("running", "requires_action"):
        raise UsageProblem(f"{trajectory_id} has not ended", remedy=f"alpha-umi tail {trajectory_id}")
    events = list(read_events(client.follow(trajectory_id)))
    made = _transitions(machine_events(events))
    print_transitions(console, made)
    different = differing_fields(ended(events), made[-1].after)
    if different:
        what = f"the replay does not lead to what the orchestrator shows: {', '.join(different)}"
        raise NotUnderstood(what, remedy=SAME_VERSION)
    console.print("the replay leads to what the orchestrator shows", style="green")


def _transitions(events: Iterable[Event]) -> list[Transition]:
    with understood():
        try:
            return list(transitions(events))
        except IllegalEvent as error:
            raise EventNotUnderstood(str(error)) from error


STATUSES: tuple[str, ...] = get_args(Status)


def export(
    output_file: Annotated[
        Path | None,
        typer.Option("--output", help="Write to this file; it is replaced when all lines are written.", dir_okay=False),
    ] = None,
    status: Annotated[
        str | None, typer.Option(help=f"Only those with this status: {', '.join(STATUSES)}.", show_default=False)
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

    Each line is what `show ID --json` prints. Exits with 2 if no orchestrator answers; the file is then not changed.
    """
    if status is not None and status not in STATUSES:
        raise UsageProblem(f"--status: {status!r} is not a status", remedy=f"name one of {', '.join(STATUSES)}")
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


def prune(
    older_than: Annotated[str, typer.Option(help="Time since the end of a trajectory, such as 30d or 12h.")],
    status: Annotated[
        list[str] | None,
        typer.Option(help=f"Only those with this status; can be repeated: {', '.join(STATUSES)}.", show_default=False),
    ] = None,
    all_owners: Annotated[
        bool, typer.Option("--all-owners", help="Those of every owner; the key needs the scope operate.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Delete trajectories that ended long ago, for good. `export` writes them to a file before.

    The orchestrator exports each of them first if it has a folder for that (ALPHA_UMI_RETENTION_EXPORT).
    """
    if (period := parse_duration(older_than)) is None:
        raise UsageProblem(f"--older-than: {older_than!r} is not a duration", remedy="write 30d, 12h or 30m")
    if unknown := [name for name in status or [] if name not in STATUSES]:
        raise UsageProblem(f"--status: {unknown[0]!r} is not a status", remedy=f"name one of {', '.join(STATUSES)}")
    request = Prune.model_validate(
        {"older_than_s": period.total_seconds(), "status": status or [], "all_owners": all_owners}
    )
    deleted, has_more = 0, True
    with connect(url, api_key, state_dir) as client:
        while has_more:
            batch = client.prune(request)
            deleted, has_more = deleted + batch.deleted, batch.has_more
    messages().print(f"deleted {pluralize(deleted, 'trajectory')}")
    if batch.unreadable:
        messages().print(
            f"not deleted, because they cannot be read and exported: {', '.join(batch.unreadable)}. Restore a backup, "
            "or delete each without an export: DELETE /v1/trajectories/{id}"
        )


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
            f"{option}: {text!r} is not a time",
            remedy="write 2026-03-01, 2026-03-01T12:00Z, or how long ago: 7d, 12h, 30m",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
