"""`alpha-umi`: bring the services up, ask, look, and bring them down.

Commands parse, call one function and print. Exit codes: 0 done, 1 the trajectory or the services failed, 2 the command
cannot be carried out as it was given.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alpha_umi.serving.manifest import ManifestError, verify
from alpha_umi.serving.weights import cache_folder, embedded_role_model, progress_bar
from cli.client import Client, Refused, Unreachable
from cli.live_output import LiveOutput, plain, show_trajectory
from cli.options import ApiKey, AsJson, StateDir, Url, client_of, run_file_of
from cli.processes import StartFailed
from cli.replay import NoLog, frames
from cli.services import Plan, Ports, services_of
from cli.stack import bring_up, take_down

DEMO_INSTRUCTION = "What time is it now?"
DEMO_STEPS = 3
FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
tools_app = typer.Typer(help="Tools on offer, and where they come from.", invoke_without_command=True)
models_app = typer.Typer(help="Role models on this machine.", no_args_is_help=True)
app.add_typer(tools_app, name="tools")
app.add_typer(models_app, name="models")

out = Console()
err = Console(stderr=True)

Port = Annotated[int, typer.Option(min=1, max=65_535)]
ScriptFile = Annotated[Path | None, typer.Option("--script", hidden=True, help="Scripted language models, for tests")]


@app.command()
def up(
    port: Port = Ports.orchestrator,
    planner_port: Port = Ports.planner,
    caller_port: Port = Ports.caller,
    summarizer_port: Port = Ports.summarizer,
    tools_port: Port = Ports.tools,
    example_tools: Annotated[bool, typer.Option(help="Start the example tool API, too")] = True,
    tool_sources: Annotated[Path | None, typer.Option(help="YAML or JSON file of tool sources")] = None,
    state_dir: StateDir = None,
    script: ScriptFile = None,
) -> None:
    """Start the three role services and the orchestrator, detached; the small embedded model plays the roles."""
    ports = Ports(port, planner_port, caller_port, summarizer_port, tools_port)
    with _errors():
        _start(ports, example_tools, tool_sources, state_dir, script)


@app.command()
def demo(
    port: Port = Ports.orchestrator,
    planner_port: Port = Ports.planner,
    caller_port: Port = Ports.caller,
    summarizer_port: Port = Ports.summarizer,
    tools_port: Port = Ports.tools,
    state_dir: StateDir = None,
    script: ScriptFile = None,
) -> None:
    """The main job: start everything, ask a question, print what happens, and leave the services running."""
    ports = Ports(port, planner_port, caller_port, summarizer_port, tools_port)
    run_file = run_file_of(state_dir)
    with _errors():
        _start(ports, True, None, state_dir, script)
        try:
            trajectory = _ask(
                client_of(None, None, state_dir), {"instruction": DEMO_INSTRUCTION, "max_steps": DEMO_STEPS}
            )
        except BaseException:
            take_down(run_file)
            raise
        out.print(_next_commands(ports))
        called = any(step["observation"] for step in trajectory["steps"])
        if trajectory["answer"] is None or not called:
            raise typer.Exit(FAILED)


@app.command()
def down(state_dir: StateDir = None) -> None:
    """End everything that `up` started."""
    running, stubborn = take_down(run_file_of(state_dir))
    if not running:
        out.print("nothing is running")
        return
    out.print(f"ended: {', '.join(entry.name for entry in running)}")
    if stubborn:
        out.print(f"killed, because they did not end by themselves: {', '.join(stubborn)}")


@app.command()
def ask(
    instruction: str,
    tools: Annotated[
        str | None, typer.Option(help="Names of tools to offer, separated by commas; all when omitted")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Bound of the steps")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask, and watch the answer come about. Ctrl-C stops the trajectory."""
    body: dict[str, Any] = {"instruction": instruction}
    if tools is not None:
        body["tools"] = [name.strip() for name in tools.split(",")]
    if max_steps is not None:
        body["max_steps"] = max_steps
    with _errors():
        trajectory = _ask(client_of(url, api_key, state_dir), body, quiet=as_json)
        if as_json:
            _print_json(trajectory)
        if trajectory["status"] not in ("completed", "exhausted") or trajectory["answer"] is None:
            raise typer.Exit(FAILED)


@app.command()
def show(
    trajectory_id: str, url: Url = None, api_key: ApiKey = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show one trajectory."""
    with _errors():
        trajectory = client_of(url, api_key, state_dir).get(f"/v1/trajectories/{trajectory_id}")
        if as_json:
            _print_json(trajectory)
        else:
            show_trajectory(out, trajectory)


@app.command()
def tail(
    trajectory_id: Annotated[str | None, typer.Argument(help="The newest one when omitted")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Follow a trajectory from its beginning until it ends."""
    with _errors():
        client = client_of(url, api_key, state_dir)
        if trajectory_id is None:
            newest = client.get("/v1/trajectories", limit=1)["data"]
            if not newest:
                raise Refused("there is no trajectory yet; `alpha-umi ask` makes one")
            trajectory_id = str(newest[0]["id"])
        LiveOutput(out).show_all(client.follow(trajectory_id))


@app.command()
def replay(
    trajectory_id: str,
    database: Annotated[Path | None, typer.Option(help="SQLite event log; that of `up` when omitted")] = None,
    state_dir: StateDir = None,
) -> None:
    """Replay a trajectory's log through the machine: each row, the state it leads to, and what comes next."""
    log = database or run_file_of(state_dir).folder / "alpha_umi.db"
    with _errors():
        for frame in frames(log, trajectory_id):
            out.print(Text(plain(frame.line)), soft_wrap=True)


@tools_app.callback()
def tools(
    context: typer.Context, url: Url = None, api_key: ApiKey = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """List the tools on offer."""
    context.obj = (url, api_key, state_dir)
    if context.invoked_subcommand is not None:
        return
    with _errors():
        listed = client_of(url, api_key, state_dir).get("/v1/tools")["data"]
        if as_json:
            _print_json(listed)
            return
        table = Table("tool", "arguments", "what it does", "source", box=None, pad_edge=False)
        for tool in listed:
            arguments = ", ".join(tool["parameters"].get("properties", {}))
            table.add_row(
                *(Text(plain(text)) for text in (tool["name"], arguments, tool["description"], tool["source"]))
            )
        out.print(table)


@tools_app.command("sources")
def tool_sources(context: typer.Context) -> None:
    """List the tool sources."""
    with _errors():
        for source in client_of(*context.obj).get("/v1/tool-sources")["data"]:
            state = source["error"] or f"{len(source['tools'])} tools"
            out.print(Text(plain(f"{source['name']}  {source['status']}  {source['url'] or '(document)'}  {state}")))


@tools_app.command("add")
def tools_add(
    context: typer.Context,
    name: str,
    address: Annotated[str, typer.Argument(help="URL of an OpenAPI document")],
    effect: Annotated[str, typer.Option(help="What writes do: read, keyed_write or unkeyed_write")] = "unkeyed_write",
) -> None:
    """Register the operations of an OpenAPI document as tools."""
    with _errors():
        body = {"name": name, "kind": "openapi", "url": address, "effect": effect}
        added = client_of(*context.obj).post("/v1/tool-sources", body)
        out.print(Text(plain(f"{len(added['tools'])} tools: {', '.join(added['tools'])}")))


@tools_app.command("remove")
def tools_remove(context: typer.Context, name: str) -> None:
    """Remove a tool source."""
    with _errors():
        client_of(*context.obj).delete(f"/v1/tool-sources/{name}")


@models_app.command("list")
def models_list() -> None:
    """Model folders in the cache."""
    for folder in _model_folders():
        out.print(str(folder), soft_wrap=True)


@models_app.command("verify")
def models_verify() -> None:
    """Compare every file of the cached models with its recorded checksum."""
    broken = False
    for folder in _model_folders():
        try:
            manifest = verify(folder)
            out.print(f"ok      {manifest.name}  {folder}", soft_wrap=True)
        except ManifestError as error:
            broken = True
            out.print(Text(f"broken  {error}"), soft_wrap=True)
    if broken:
        raise typer.Exit(FAILED)


def _model_folders() -> list[Path]:
    return sorted(path.parent for path in (cache_folder(os.environ) / "models").glob("[!.]*/alpha_umi.json"))


def _start(
    ports: Ports, example_tools: bool, tool_sources: Path | None, state_dir: Path | None, script: Path | None
) -> None:
    run_file = run_file_of(state_dir)
    running = run_file.read()
    if running:
        out.print("already up:")
        for entry in running:
            out.print(f"  {entry.name:<13} {entry.address}")
        return
    run_file.prepare()
    plan = Plan(ports, run_file.folder, example_tools=example_tools, tool_sources=tool_sources, script=script)
    services = services_of(plan)
    if script is None:
        with progress_bar(err) as progress:
            for role in ("planner", "caller", "summarizer"):
                embedded_role_model(role, models_dir=plan.models_dir, progress=progress)
    bring_up(services, run_file, out)


def _ask(client: Client, body: dict[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    """Ask and print; stop the trajectory on Ctrl-C."""
    output = LiveOutput(Console(file=open(os.devnull, "w")) if quiet else out)  # noqa: SIM115
    try:
        finished = output.show_all(client.ask(body))
    except KeyboardInterrupt:
        if output.trajectory_id is not None:
            client.post(f"/v1/trajectories/{output.trajectory_id}/cancel")
        raise
    if finished is None:
        raise Unreachable("the stream ended before the trajectory did; `alpha-umi tail` follows it")
    return finished


def _next_commands(ports: Ports) -> Panel:
    address = f"http://127.0.0.1:{ports.orchestrator}"
    lines = [
        "The services go on running. Next:",
        '  .venv/bin/alpha-umi ask "How many kilometres are 26.2 miles?" --tools convert_unit',
        f"  curl {address}/v1/trajectories -H 'Content-Type: application/json' \\",
        '       -d \'{"instruction": "What phase is the moon in on 24 December 2026?"}\'',
        "  .venv/bin/alpha-umi tools",
        "  .venv/bin/alpha-umi down",
        f"  {address}/docs",
    ]
    return Panel(Text("\n".join(lines)), expand=False)


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


@contextmanager
def _errors() -> Iterator[None]:
    """Failures that people can do something about, as one message and an exit code."""
    try:
        yield
    except StartFailed as error:
        code = USAGE if "taken" in str(error) else FAILED
        err.print(Text(plain(str(error)), style="red"))
        raise typer.Exit(code) from None
    except (Refused, Unreachable, NoLog, ManifestError) as error:
        err.print(Text(plain(str(error)), style="red"))
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        err.print("stopped")
        raise typer.Exit(INTERRUPTED) from None
