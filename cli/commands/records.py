"""`show` and `replay`: one trajectory, and the states that its log leads to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.stream_events import EventNotUnderstood, machine_events
from alpha_umi.contract.trajectories import differing_fields
from alpha_umi.trajectory import Event, IllegalEvent, Transition, transitions
from cli.commands.questions import print_json, read_events
from cli.errors import SAME_VERSION, NotUnderstood, UsageProblem, understood
from cli.event_log import print_transitions, read_database, read_export
from cli.options import ApiKey, AsJson, StateDir, Url, connect, output
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
        typer.Option(help="Replay an exported log instead: rows {type, payload}, one a line.", show_default=False),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(help="Read the log from this SQLite file, not over HTTP.", show_default=False),
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
