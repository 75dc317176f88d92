"""Start and end the system on this machine: `up`, `down`, and `demo`, the main job."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import HORIZONTALS
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from alpha_umi.contract.trajectories import Trajectory
from cli.commands.questions import ask_live, exit_code
from cli.demo_question import demo_question
from cli.errors import EXIT_FAILED, CommandError, UsageProblem
from cli.interrupts import ending_signals_interrupt, uninterrupted
from cli.launch import Up, bring_up, take_down
from cli.options import StateDir, connect, messages, output, own_key, state_folder
from cli.services import SINGLE, Ports
from cli.state import ORCHESTRATOR, StateFolder
from cli.system import Wishes, print_failed_sources, print_up, settled_sources, system_plan

NAME = "alpha-umi"


class EngineKind(StrEnum):
    """What writes the roles' texts."""

    VLLM = "vllm"
    SCRIPTED = "scripted"


def _port(default: int, option: str, service: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(
        option, min=1, max=65_535, help=f"Port of the {service}.", show_default=str(default)
    )
    return info


Port = Annotated[int, _port(8000, "--port", "orchestrator")]
PlannerPort = Annotated[int, _port(8001, "--planner-port", "planner")]
CallerPort = Annotated[int, _port(8002, "--caller-port", "caller")]
SummarizerPort = Annotated[int, _port(8003, "--summarizer-port", "summarizer")]
BackbonePort = Annotated[int, _port(8004, "--backbone-port", "single model")]
Single = Annotated[bool, typer.Option("--single", help="Start the single model, too, for `ask --strategy single`.")]
ToolsPort = Annotated[int, _port(8010, "--tools-port", "example tool API")]
ExampleTools = Annotated[
    bool, typer.Option("--example-tools/--no-example-tools", help="Start the example tool API, too.")
]
ToolSources = Annotated[
    Path | None,
    typer.Option(help="YAML or JSON file of further tool sources.", exists=True, dir_okay=False, show_default=False),
]
Models = Annotated[
    Path | None,
    typer.Option(
        "--models",
        help="Folder with a model or adapter for each role: planner, caller, summarizer (and backbone with --single).",
        exists=True,
        file_okay=False,
        show_default=False,
    ),
]
Engine = Annotated[EngineKind, typer.Option(hidden=True)]
ScriptFile = Annotated[Path | None, typer.Option("--script", hidden=True, exists=True, dir_okay=False)]


def up(
    port: Port = 8000,
    planner_port: PlannerPort = 8001,
    caller_port: CallerPort = 8002,
    summarizer_port: SummarizerPort = 8003,
    tools_port: ToolsPort = 8010,
    backbone_port: BackbonePort = 8004,
    single: Single = False,
    example_tools: ExampleTools = True,
    tool_sources: ToolSources = None,
    models: Models = None,
    engine: Engine = EngineKind.VLLM,
    script: ScriptFile = None,
    state_dir: StateDir = None,
) -> None:
    """Start the role services, the orchestrator and the example tools, and leave them running.

    Ctrl-C before all are ready ends what was started. Exits with 2 when a port is taken, 1 when a service does not
    come up.
    """
    ports = Ports(
        port,
        planner_port,
        caller_port,
        summarizer_port,
        tools_port if example_tools else None,
        backbone_port if single else None,
    )
    wishes = Wishes(ports, tool_sources, engine.value, script and script.absolute(), models)
    running = _bring_up(state_folder(state_dir), wishes)
    if single and running.run.url_of(SINGLE) is None:
        raise UsageProblem("it was brought up without the single model", remedy="alpha-umi down, then up --single")


def down(state_dir: StateDir = None) -> None:
    """End everything that `up` started."""
    ended = take_down(state_folder(state_dir))
    output().print(Text(f"ended: {', '.join(ended)}" if ended else "nothing was running"))


def demo(
    port: Port = 8000,
    planner_port: PlannerPort = 8001,
    caller_port: CallerPort = 8002,
    summarizer_port: SummarizerPort = 8003,
    tools_port: ToolsPort = 8010,
    engine: Engine = EngineKind.VLLM,
    script: ScriptFile = None,
    state_dir: StateDir = None,
) -> None:
    """Start everything, carry out an example instruction and print what happens; the services stay up.

    Ctrl-C before the answer ends everything that was started.
    """
    ports = Ports(port, planner_port, caller_port, summarizer_port, tools_port)
    state = state_folder(state_dir)
    with ending_signals_interrupt():
        running = _bring_up(state, Wishes(ports, None, engine.value, script and script.absolute()))
        trajectory = _ask_or_end(state, running)
    _print_next(output(), _url(running), trajectory)
    raise typer.Exit(_demo_exit_code(trajectory))


def _bring_up(state: StateFolder, wishes: Wishes) -> Up:
    console = messages()
    running = bring_up(state, system_plan(wishes, state, console), console)
    with connect(_url(running), own_key(), None) as client:
        sources = settled_sources(client)
    print_up(output(), running.run, started_now=running.started_now)
    print_failed_sources(console, sources)
    return running


def _ask_or_end(state: StateFolder, running: Up) -> Trajectory:
    """Ask the example instruction; if that is interrupted or fails, what this command has started is ended."""
    console = output()
    console.print()
    try:
        with connect(_url(running), own_key(), None) as client:
            trajectory = ask_live(client, demo_question(running.run), output=console)
        if trajectory.status == "cancelled":
            raise KeyboardInterrupt
    except BaseException:
        if running.started_now:
            with uninterrupted():
                take_down(state)
        raise
    return trajectory


def _url(running: Up) -> str:
    url = running.run.url_of(ORCHESTRATOR)
    if url is None:
        raise CommandError("the run file names no orchestrator", remedy="alpha-umi down, then up")
    return url


def _demo_exit_code(trajectory: Trajectory) -> int:
    observed = any(step.observation is not None for step in trajectory.steps)
    return exit_code(trajectory) if observed else EXIT_FAILED


def _print_next(console: Console, url: str, trajectory: Trajectory) -> None:
    command = _command()
    lines = (
        "The services go on running. Next:",
        "",
        f'{command} ask "How many kilometres are 26.2 miles?" --tools convert_unit',
        f"{command} show {trajectory.id}",
        f"{command} tools",
        f"curl {url}/v1/trajectories -H 'Content-Type: application/json' \\",
        """  -d '{"instruction": "Which phase has the moon on 24 December 2026?"}'""",
        f"{url}/docs",
        f"{command} down",
    )
    console.print()
    # No sides, so that the lines can be copied.
    console.print(Panel(Text("\n".join(lines)), box=HORIZONTALS, padding=0))


def _command() -> str:
    """How to call this command from here: its name, or its path as it was called where the shell does not find it."""
    called = Path(sys.argv[0])
    return str(called) if called.name == NAME and shutil.which(NAME) is None else NAME
