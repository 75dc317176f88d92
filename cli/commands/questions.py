"""Ask, and watch: `ask` and `tail`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from alpha_umi.contract.trajectories import MAX_STEPS, CreateTrajectory, Trajectory
from cli.client import OrchestratorClient
from cli.errors import EXIT_FAILED, UsageProblem
from cli.interrupts import uninterrupted
from cli.live_output import LiveOutput, ended
from cli.options import ApiKey, AsJson, StateDir, Url, connect, messages, output
from cli.request import trajectory_request
from cli.steps_view import StepsView


def ask(
    instruction: Annotated[str, typer.Argument(help="What is to be done.")],
    tools: Annotated[
        str | None, typer.Option(help="Names of the tools on offer, comma separated; all of them by default.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Steps after which an answer is demanded.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Carry out an instruction and watch it happen.

    Exits with 0 when there is an answer, 1 when it failed, was given up or cancelled, 2 when it could not be asked.
    Ctrl-C cancels it.
    """
    request = trajectory_request(instruction, tools=tools, max_steps=max_steps)
    with connect(url, api_key, state_dir) as client:
        trajectory = ask_live(client, request, output=None if as_json else output())
    if as_json:
        print_json(trajectory)
    raise typer.Exit(exit_code(trajectory))


def tail(
    trajectory_id: Annotated[
        str | None,
        typer.Argument(help="Id; by default the newest one that runs, else the newest.", show_default=False),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Follow a trajectory from its beginning until it ends. Exits as `ask` does; Ctrl-C leaves it running."""
    with connect(url, api_key, state_dir) as client:
        chosen = trajectory_id or _newest(client)
        trajectory = ended(client.follow(chosen), LiveOutput(StepsView(output())))
    raise typer.Exit(exit_code(trajectory))


def ask_live(client: OrchestratorClient, request: CreateTrajectory, *, output: Console | None) -> Trajectory:
    """Ask, print what happens (unless there is no `output`), and return how it ended. Ctrl-C cancels."""
    live = LiveOutput(StepsView(Console(quiet=True) if output is None else output))
    try:
        return ended(client.ask(request), live)
    except KeyboardInterrupt:
        if live.trajectory_id is None:
            raise
        with uninterrupted():
            cancelled = client.cancel(live.trajectory_id)
        (StepsView(messages()) if output is None else StepsView(output)).closing(cancelled)
        return cancelled


def exit_code(trajectory: Trajectory) -> int:
    """0 for an answer, also one that a limit forced; 1 for everything else."""
    answered = trajectory.status == "completed" or (trajectory.status == "exhausted" and trajectory.answer)
    return 0 if answered else EXIT_FAILED


def print_json(trajectory: Trajectory) -> None:
    """Print a trajectory for a program. ASCII, so that no terminal takes a part of it for a command."""
    typer.echo(json.dumps(trajectory.model_dump(mode="json"), indent=2))


def _newest(client: OrchestratorClient) -> str:
    newest = client.newest(status="running") or client.newest()
    if newest is None:
        raise UsageProblem("there is no trajectory yet", remedy='make one: alpha-umi ask "..."')
    return newest.id
