"""Start and stop the system on this machine: `up`, `down`, and `demo`, which also runs an example."""

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

from alpha_umi.contract.trajectories import CreateTrajectory, Trajectory
from cli.commands.questions import ask_live, exit_code, trajectory_request
from cli.errors import EXIT_FAILED, CommandError, UsageProblem
from cli.local.models import RunningModel, running_models
from cli.local.services import SINGLE, Ports
from cli.local.signals import ending_signals_interrupt, ignored_signals
from cli.local.state import ORCHESTRATOR, RunRecord, StateFolder
from cli.local.supervisor import StartResult, start_system, stop_system
from cli.local.system import UpOptions, print_started, system_plan, wait_for_sources, warn_failed_sources
from cli.options import StateDir, connect, messages, output, own_key, state_folder

NAME = "alpha-umi"


class EngineKind(StrEnum):
    """Engine of the role services."""

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
    str | None,
    typer.Option(
        "--models",
        help="Folder or hub id (org/name@revision) with a model or adapter for each role: planner, caller, summarizer "
        "(and backbone with --single).",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Folder or hub id (org/name@revision) of any instruct model, which plays all roles as it is: one engine.",
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
    model: Model = None,
    engine: Engine = EngineKind.VLLM,
    script: ScriptFile = None,
    state_dir: StateDir = None,
) -> None:
    """Start the role services, the orchestrator and the example tools, and leave them running.

    Ctrl-C before all are ready stops what was started. Exits with 2 if a port is in use, 1 if a service does not start.
    """
    ports = Ports(
        port,
        planner_port,
        caller_port,
        summarizer_port,
        tools_port if example_tools else None,
        backbone_port if single else None,
        shared=model is not None,
    )
    options = UpOptions(ports, tool_sources, engine.value, script and script.absolute(), models, model)
    running = _start(state_folder(state_dir), options)
    if single and running.run.url_of(SINGLE) is None:
        raise UsageProblem("the system runs without the single model", remedy="alpha-umi down, then up --single")


def down(state_dir: StateDir = None) -> None:
    """Stop everything that `up` started."""
    stopped = stop_system(state_folder(state_dir))
    output().print(Text(f"ended: {', '.join(stopped)}" if stopped else "nothing was running"))


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
    """Start everything, run an example instruction and print its trajectory; the services keep running.

    Ctrl-C before the answer stops everything that was started.
    """
    ports = Ports(port, planner_port, caller_port, summarizer_port, tools_port)
    state = state_folder(state_dir)
    with ending_signals_interrupt():
        running = _start(state, UpOptions(ports, None, engine.value, script and script.absolute()))
        trajectory = _run_or_stop(state, running)
    _print_next(output(), _url(running), trajectory)
    raise typer.Exit(_demo_exit_code(trajectory))


def _start(state: StateFolder, options: UpOptions) -> StartResult:
    console = messages()
    running = start_system(state, system_plan(options, state, console), console)
    with connect(_url(running), own_key(), None) as client:
        sources = wait_for_sources(client)
    print_started(output(), running.run, started_now=running.started_now)
    warn_failed_sources(console, sources)
    return running


def _run_or_stop(state: StateFolder, running: StartResult) -> Trajectory:
    """Run the example instruction; if that fails or is interrupted, stop what this command started."""
    console = output()
    console.print()
    try:
        with connect(_url(running), own_key(), None) as client:
            trajectory = ask_live(client, demo_question(running.run), output=console)
        if trajectory.status == "cancelled":
            raise KeyboardInterrupt
    except BaseException:
        if running.started_now:
            with ignored_signals():
                stop_system(state)
        raise
    return trajectory


def _url(running: StartResult) -> str:
    url = running.run.url_of(ORCHESTRATOR)
    if url is None:
        raise CommandError("the run file names no orchestrator", remedy="alpha-umi down, then up")
    return url


def _demo_exit_code(trajectory: Trajectory) -> int:
    has_observation = any(step.observation is not None for step in trajectory.steps)
    return exit_code(trajectory) if has_observation else EXIT_FAILED


def _print_next(console: Console, url: str, trajectory: Trajectory) -> None:
    command = _command()
    lines = (
        "The services keep running. Next:",
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
    # No side borders, so that the lines can be copied.
    console.print(Panel(Text("\n".join(lines)), box=HORIZONTALS, padding=0))


def _command() -> str:
    """How to run this command: its name, or the path it was started with if it is not on PATH."""
    called = Path(sys.argv[0])
    return str(called) if called.name == NAME and shutil.which(NAME) is None else NAME


INSTRUCTION = "How many kilograms are 150 pounds, and how many centimetres are 30 inches?"
# The untuned model repeats itself when it has many tools.
UNTUNED_INSTRUCTION = "How many words are in 'The quick brown fox jumps over the lazy dog.'?"
UNTUNED_TOOLS = "text_metrics"
UNTUNED_STEPS = 2


def demo_question(run: RunRecord) -> CreateTrajectory:
    """An instruction that needs two calls, with all tools; an easier one if a role has no trained model.

    The models are read from the running services; a start could choose other ones now.
    """
    roles = [model for model in running_models(run) if model.service.name != SINGLE]
    if all(map(_is_trained, roles)):
        return trajectory_request(INSTRUCTION)
    return trajectory_request(UNTUNED_INSTRUCTION, tools=UNTUNED_TOOLS, max_steps=UNTUNED_STEPS)


def _is_trained(running: RunningModel) -> bool:
    """Whether a service's model was trained for its role. The untuned model is a backbone; a scripted engine has no
    manifest.
    """
    manifest = None if running.model is None else running.model.manifest
    return manifest is not None and manifest.get("role") == running.service.name
