"""`tools` and its commands: registered tools, their sources, calls by hand, and the check of a document."""

from __future__ import annotations

import json
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from alpha_umi.client.sync import SyncOrchestratorClient
from alpha_umi.contract.tool_calls import ToolRequest
from alpha_umi.plain_text import plain_line
from cli.commands.tool_check import (
    BaseUrl,
    CredentialNames,
    DocumentPlace,
    HeaderNames,
    Methods,
    OperationNames,
    Paths,
    RemoteReferences,
    Tags,
    check,
    print_left_out,
    secrets_of,
    source_settings,
    table_of,
)
from cli.errors import EXIT_FAILED, UsageProblem
from cli.options import ApiKey, AsJson, StateDir, Url, as_text, connect, output

# Names of tools on one line.
MAX_LISTED = 20

app = typer.Typer(help="List, try and register tools, and check the documents that describe them.")
app.command()(check)


class Effect(StrEnum):
    """Whether a call may be repeated: it only reads, it accepts an idempotency key, or it does not."""

    READ = "read"
    KEYED_WRITE = "keyed_write"
    UNKEYED_WRITE = "unkeyed_write"


@app.callback(invoke_without_command=True)
def list_tools(
    ctx: typer.Context, url: Url = None, api_key: ApiKey = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """List the tools on offer."""
    if ctx.invoked_subcommand is not None:
        return
    with connect(url, api_key, state_dir) as client:
        tools = client.tools().data
    if as_json:
        typer.echo(json.dumps([tool.model_dump() for tool in tools], indent=2))
        return
    if not tools:
        output().print("no tool is registered; `alpha-umi tools add NAME URL` registers an OpenAPI document")
        return
    table = table_of("name", "source", "effect", "description")
    for tool in tools:
        table.add_row(*(Text(plain_line(cell)) for cell in (tool.name, tool.source, tool.effect, tool.description)))
    output().print(table)


@app.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the tool.")],
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a tool's arguments, an example call, and the request that the call would send."""
    with _connect(ctx, url, api_key, state_dir) as client:
        tool = client.tool(name)
    if as_json:
        typer.echo(tool.model_dump_json(indent=2))
        return
    _print("source", f"{tool.source} ({tool.effect})")
    _print("description", tool.description)
    _print("arguments", json.dumps(tool.parameters, indent=2, ensure_ascii=False))
    if tool.example is None:
        _print("example", "no valid arguments were found")
        return
    arguments = json.dumps(tool.example, ensure_ascii=False)
    _print("example", f"alpha-umi tools call {tool.name} {shlex.quote(arguments)}")
    if tool.request is not None:
        _print("request", _request_text(tool.request))


@app.command()
def call(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the tool.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments, a JSON object.")] = "{}",
    yes: Annotated[bool, typer.Option("--yes", help="Also call a tool that may change something.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Call a tool by hand. Exits with 1 if the call failed, 2 if the arguments are refused."""
    try:
        parsed = json.loads(arguments.encode())
    except ValueError as error:
        raise UsageProblem(f"the arguments are not JSON: {error}", remedy="quote them: '{\"name\": 1}'") from error
    if not isinstance(parsed, dict):
        raise UsageProblem("the arguments are no JSON object", remedy="quote them: '{\"name\": 1}'")
    with _connect(ctx, url, api_key, state_dir) as client:
        result = client.call_tool(name, arguments, confirm=yes)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    else:
        _print("request", _request_text(result.request))
        _print("status", f"{'no answer' if result.status is None else result.status}, {result.duration_ms} ms")
        _print("error" if result.is_error else "observation", result.observation)
        if result.truncated:
            _print("note", "the answer is longer than what is shown")
    if result.is_error:
        raise typer.Exit(EXIT_FAILED)


def _request_text(request: ToolRequest) -> str:
    lines = [f"{request.method} {request.url}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"{place} (a credential)" for place in request.credentials]
    return "\n".join([*lines, *([] if request.body is None else ["", request.body])])


def _print(heading: str, text: str) -> None:
    """A heading and the lines of a text beside it, which are not wrapped: they can be copied."""
    for number, line in enumerate(text.split("\n")):
        start = Text(f"{'' if number else heading:<13}", style="dim")
        output().print(start + as_text(line), soft_wrap=True)


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the source.")],
    document: DocumentPlace,
    effect: Annotated[
        Effect | None, typer.Option(help="The kind of calls other than GET; unkeyed_write is never repeated.")
    ] = None,
    base_url: BaseUrl = None,
    credential: CredentialNames = None,
    header: HeaderNames = None,
    operation: OperationNames = None,
    tag: Tags = None,
    path: Paths = None,
    method: Methods = None,
    remote_references: RemoteReferences = False,
    shared: Annotated[bool, typer.Option("--shared", help="Offer them to all owners (scope operate).")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Register the operations of an OpenAPI document as tools."""
    chosen = {"operations": operation, "tags": tag, "paths": path, "methods": method}
    settings = source_settings(
        document,
        base_url=base_url,
        effect=effect,
        credentials=secrets_of("--credential", credential),
        headers=secrets_of("--header", header),
        remote_references=remote_references,
        **chosen,
    )
    if shared:
        settings["shared"] = True
    with _connect(ctx, url, api_key, state_dir) as client:
        source = client.add_tool_source(name, **settings)
    more = len(source.tools) - MAX_LISTED
    names = ", ".join(map(plain_line, source.tools[:MAX_LISTED])) + (f" and {more} more" if more > 0 else "")
    output().print(Text(f"{plain_line(source.name)}: {len(source.tools)} tools: {names}"), soft_wrap=True)
    print_left_out(source.left_out)


@app.command()
def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The source's name.")],
    url: Url = None,
    api_key: ApiKey = None,
    state_dir: StateDir = None,
) -> None:
    """Remove a source and its tools."""
    with _connect(ctx, url, api_key, state_dir) as client:
        client.remove_tool_source(name)
    output().print(Text(f"{plain_line(name)} is removed"))


@app.command()
def sources(ctx: typer.Context, url: Url = None, api_key: ApiKey = None, state_dir: StateDir = None) -> None:
    """List the sources of tools, with the errors of those that failed."""
    with _connect(ctx, url, api_key, state_dir) as client:
        known = client.tool_sources()
    table = table_of("name", "kind", "shared", "status", "tools", "left out", "address", "error")
    for source in known:
        style = {"ready": "green", "failed": "red"}.get(source.status, "yellow")
        table.add_row(
            Text(plain_line(source.name)),
            Text(plain_line(source.kind)),
            Text("yes" if source.shared else ""),
            Text(plain_line(source.status), style=style),
            Text(str(len(source.tools))),
            Text(str(len(source.left_out))),
            Text(plain_line(source.url or "")),
            Text(plain_line(source.error or ""), style="red"),
        )
    output().print(table)


def _connect(
    ctx: typer.Context, url: str | None, api_key: str | None, state_dir: Path | None
) -> SyncOrchestratorClient:
    """Options of the group (`tools --url URL add`) apply if the command itself has none."""
    group = {} if ctx.parent is None else ctx.parent.params
    return connect(url or group.get("url"), api_key or group.get("api_key"), state_dir or group.get("state_dir"))
