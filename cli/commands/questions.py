"""`ask` and `tail`: create a trajectory or follow one, and print its events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from httpx_sse import ServerSentEvent
from pydantic import ValidationError
from rich.console import Console

from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.stream_events import StreamEvent, read_stream_event
from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS, CreateTrajectory, Strategy, Trajectory
from alpha_umi.contract.validation import explain
from cli.errors import EXIT_FAILED, UsageProblem, understood
from cli.local.signals import ignored_signals
from cli.options import ApiKey, AsJson, StateDir, Url, connect, messages, output
from cli.steps_view import LiveOutput, StepsView, ended


class StrategyName(StrEnum):
    """The strategy of a trajectory."""

    CHAIN = "chain"
    SINGLE = "single"
    DFSDT = "dfsdt"


@dataclass(frozen=True)
class TrajectoryOptions:
    """The options of a new trajectory. They also hold for its further turns."""

    tools: str | None = None
    no_tools: bool = False
    max_steps: int | None = None
    max_tokens: int | None = None
    max_depth: int | None = None
    strategy: StrategyName = StrategyName.CHAIN


OpenStream = Callable[[SyncOrchestratorClient], Iterator[ServerSentEvent]]


def ask(
    instruction: Annotated[str, typer.Argument(help="The instruction.")],
    tools: Annotated[
        str | None, typer.Option(help="Names of the tools on offer, comma separated. Default: all.")
    ] = None,
    no_tools: Annotated[
        bool, typer.Option("--no-tools", help="Offer no tool: the answer comes from the models alone.")
    ] = False,
    max_steps: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Maximum number of steps; then an answer is requested.")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_TOKENS, help="Token budget of all models together; then an answer is requested."),
    ] = None,
    max_depth: Annotated[
        int | None, typer.Option(min=1, max=MAX_STEPS, help="Maximum steps of a branch of a search (`dfsdt`).")
    ] = None,
    strategy: Annotated[
        StrategyName,
        typer.Option(
            help="Three models in turn, the same as a search that goes back from dead ends (`dfsdt`), or a single "
            "one (`up --single` starts it)."
        ),
    ] = StrategyName.CHAIN,
    continue_id: Annotated[
        str | None,
        typer.Option("--continue", metavar="TRAJECTORY_ID", help="Add a message to a trajectory that has ended."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Run an instruction, and print its events as they happen.

    Exits with 0 if there is an answer, 1 if it failed, gave up or was cancelled, 2 if the request was refused.
    Ctrl-C cancels it.
    """
    make = _new_trajectory if continue_id is None else partial(_further_turn, continue_id)
    open_stream = make(instruction, TrajectoryOptions(tools, no_tools, max_steps, max_tokens, max_depth, strategy))
    with connect(url, api_key, state_dir) as client:
        trajectory = stream_to_console(client, open_stream(client), output=None if as_json else output())
    if as_json:
        print_json(trajectory)
    raise typer.Exit(exit_code(trajectory))


def tail(
    trajectory_id: Annotated[
        str | None,
        typer.Argument(help="Id. Default: the newest running trajectory, else the newest.", show_default=False),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Follow a trajectory from its beginning until it ends. Exits as `ask` does; Ctrl-C leaves it running."""
    with connect(url, api_key, state_dir) as client:
        chosen = trajectory_id or _newest(client)
        trajectory = ended(read_events(client.follow(chosen)), LiveOutput(StepsView(output())))
    raise typer.Exit(exit_code(trajectory))


def ask_live(client: SyncOrchestratorClient, request: CreateTrajectory, *, output: Console | None) -> Trajectory:
    """Create a trajectory, print its events (unless there is no `output`), and return its end. Ctrl-C cancels it."""
    return stream_to_console(client, client.stream(request), output=output)


def stream_to_console(
    client: SyncOrchestratorClient, events: Iterator[ServerSentEvent], *, output: Console | None
) -> Trajectory:
    """Print a stream (unless there is no `output`), and return the trajectory at its end. Ctrl-C cancels it."""
    live = LiveOutput(StepsView(Console(quiet=True) if output is None else output))
    try:
        return ended(read_events(events), live)
    except KeyboardInterrupt:
        if live.trajectory_id is None:
            raise
        with ignored_signals():
            cancelled = client.cancel(live.trajectory_id)
        (StepsView(messages()) if output is None else StepsView(output)).closing(cancelled)
        return cancelled


def read_events(events: Iterator[ServerSentEvent]) -> Iterator[StreamEvent]:
    """The events of a stream. Raises `NotUnderstood`."""
    for event in events:
        with understood():
            item = read_stream_event(event.event, event.data, event.id)
        yield item


def exit_code(trajectory: Trajectory) -> int:
    """0 for an answer, also one that a limit forced; 1 for everything else."""
    answered = trajectory.status == "completed" or (trajectory.status == "exhausted" and trajectory.answer)
    return 0 if answered else EXIT_FAILED


def print_json(trajectory: Trajectory) -> None:
    """Print a trajectory as JSON, in ASCII so that it holds no control sequence of a terminal."""
    typer.echo(json.dumps(trajectory.model_dump(mode="json"), indent=2))


def _new_trajectory(instruction: str, options: TrajectoryOptions) -> OpenStream:
    request = trajectory_request(
        instruction,
        tools=options.tools,
        no_tools=options.no_tools,
        max_steps=options.max_steps,
        max_tokens=options.max_tokens,
        max_depth=options.max_depth,
        strategy=options.strategy.value,
    )
    return lambda client: client.stream(request)


def _further_turn(trajectory_id: str, content: str, options: TrajectoryOptions) -> OpenStream:
    if options != TrajectoryOptions():
        raise UsageProblem(
            "a trajectory keeps its tools, its limits and its strategy",
            remedy="leave out --tools, --no-tools, --max-steps, --max-tokens, --max-depth and --strategy",
        )
    request = message_request(content)
    return lambda client: client.add_message(trajectory_id, request)


def _newest(client: SyncOrchestratorClient) -> str:
    newest = client.newest(status="running") or client.newest(status="requires_action") or client.newest()
    if newest is None:
        raise UsageProblem("there is no trajectory yet", remedy='make one: alpha-umi ask "..."')
    return newest.id


def trajectory_request(
    instruction: str,
    *,
    tools: str | None = None,
    no_tools: bool = False,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_depth: int | None = None,
    strategy: Strategy = "chain",
) -> CreateTrajectory:
    """A request for a trajectory; `tools` are comma-separated names. Raises `UsageProblem`."""
    if no_tools and tools is not None:
        raise UsageProblem("--no-tools offers no tool, and --tools names some", remedy="leave one of them out")
    names = [] if no_tools else None if tools is None else [name.strip() for name in tools.split(",") if name.strip()]
    if tools is not None and not names:
        raise UsageProblem("--tools names no tool", remedy="leave it out for all tools, or use --no-tools for none")
    with _translate_errors():
        return CreateTrajectory(
            instruction=instruction,
            tools=None if names is None else [*names],
            max_steps=max_steps,
            max_tokens=max_tokens,
            max_depth=max_depth,
            strategy=strategy,
        )


def message_request(content: str) -> AddMessage:
    """A request for a further turn. Raises `UsageProblem`."""
    with _translate_errors():
        return AddMessage(content=content)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raises `UsageProblem` with the first invalid field."""
    try:
        yield
    except ValidationError as error:
        raise UsageProblem(explain(error).replace(": Value error, ", ": ")) from error
