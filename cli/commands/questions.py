"""Ask, and watch: `ask` and `tail`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from alpha_umi.contract.told_events import Told
from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS, CreateTrajectory, Trajectory
from cli.client import OrchestratorClient
from cli.errors import EXIT_FAILED, UsageProblem
from cli.live_output import LiveOutput, ended
from cli.local.signals import ignored_signals
from cli.options import ApiKey, AsJson, StateDir, Url, connect, messages, output
from cli.request import message_request, trajectory_request
from cli.steps_view import StepsView


class StrategyName(StrEnum):
    """Who carries out an instruction."""

    CHAIN = "chain"
    SINGLE = "single"
    DFSDT = "dfsdt"


@dataclass(frozen=True)
class Wanted:
    """What can be chosen for a new trajectory, and is kept by its further turns."""

    tools: str | None = None
    max_steps: int | None = None
    max_tokens: int | None = None
    max_depth: int | None = None
    strategy: StrategyName = StrategyName.CHAIN


Ask = Callable[[OrchestratorClient], Iterator[Told]]


def ask(
    instruction: Annotated[str, typer.Argument(help="What is to be done.")],
    tools: Annotated[
        str | None, typer.Option(help="Names of the tools on offer, comma separated; all of them by default.")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Steps after which an answer is demanded.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_TOKENS, help="Tokens of all models together after which an answer is demanded."),
    ] = None,
    max_depth: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Steps of a branch of a search (`dfsdt`).")
    ] = None,
    strategy: Annotated[
        StrategyName,
        typer.Option(
            help="Three models in turn, the same as a search that goes back from dead ends (`dfsdt`), or a single "
            "one (`up --single` starts it)."
        ),
    ] = StrategyName.CHAIN,
    go_on_with: Annotated[
        str | None,
        typer.Option("--continue", metavar="TRAJECTORY_ID", help="Go on with a trajectory that has ended."),
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
    asking = _question if go_on_with is None else partial(_further, go_on_with)
    ask_with = asking(instruction, Wanted(tools, max_steps, max_tokens, max_depth, strategy))
    with connect(url, api_key, state_dir) as client:
        trajectory = told_live(client, ask_with(client), output=None if as_json else output())
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
    return told_live(client, client.ask(request), output=output)


def told_live(client: OrchestratorClient, told: Iterator[Told], *, output: Console | None) -> Trajectory:
    """Print what is told (unless there is no `output`), and return how it ended. Ctrl-C cancels."""
    live = LiveOutput(StepsView(Console(quiet=True) if output is None else output))
    try:
        return ended(told, live)
    except KeyboardInterrupt:
        if live.trajectory_id is None:
            raise
        with ignored_signals():
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


def _question(instruction: str, wanted: Wanted) -> Ask:
    request = trajectory_request(
        instruction,
        tools=wanted.tools,
        max_steps=wanted.max_steps,
        max_tokens=wanted.max_tokens,
        max_depth=wanted.max_depth,
        strategy=wanted.strategy.value,
    )
    return lambda client: client.ask(request)


def _further(trajectory_id: str, content: str, wanted: Wanted) -> Ask:
    if wanted != Wanted():
        raise UsageProblem(
            "a trajectory keeps its tools, its limits and its strategy",
            remedy="leave out --tools, --max-steps, --max-tokens, --max-depth and --strategy",
        )
    request = message_request(content)
    return lambda client: client.go_on(trajectory_id, request)


def _newest(client: OrchestratorClient) -> str:
    newest = client.newest(status="running") or client.newest(status="requires_action") or client.newest()
    if newest is None:
        raise UsageProblem("there is no trajectory yet", remedy='make one: alpha-umi ask "..."')
    return newest.id
