"""`tools check`: which operations of an OpenAPI document become tools, and why the others do not, without a server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import unquote, urlsplit

import typer
from rich.table import Table

from alpha_umi.contract.tool_sources import LeftOutInfo
from alpha_umi.contract.validation import explain
from alpha_umi.roles.turns import Tool as PromptTool
from alpha_umi.roles.turns import estimated_tokens
from cli.errors import CommandError, UsageProblem
from cli.options import AsJson, as_text, output

if TYPE_CHECKING:
    from orchestrator.tools.model import LeftOut, Tool
    from orchestrator.tools.source import ToolProvider

# Grammars are timed until this time is over: a document may have thousands of operations.
GRAMMAR_TIME_S: Final = 10.0


@dataclass(frozen=True)
class Grammars:
    """The slowest of the grammars that were compiled, each for one tool; `skipped` had no time left."""

    slowest: str
    slowest_ms: int
    compiled: int
    skipped: int


DocumentPlace = Annotated[str, typer.Argument(metavar="FILE|URL", help="An OpenAPI document.")]
BaseUrl = Annotated[
    str | None, typer.Option(help="Address of the API, instead of the document's servers.", show_default=False)
]
CredentialNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VARIABLE",
        help="Credential of a security scheme, in a variable of the environment; may be repeated.",
        show_default=False,
    ),
]
HeaderNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VARIABLE",
        help="Header of every call, with its value in a variable of the environment; may be repeated.",
        show_default=False,
    ),
]


def _selection(what: str) -> typer.models.OptionInfo:
    info: typer.models.OptionInfo = typer.Option(help=f"Offer {what}; may be repeated.", show_default=False)
    return info


OperationNames = Annotated[list[str] | None, _selection("this operation alone (its tool name or operationId)")]
Tags = Annotated[list[str] | None, _selection("the operations of this tag alone")]
Paths = Annotated[list[str] | None, _selection("the operations below this path alone; `*` is a wildcard")]
Methods = Annotated[list[str] | None, _selection("the operations of this method alone")]
RemoteReferences = Annotated[
    bool,
    typer.Option(
        "--remote-references",
        help="Also read the documents that it refers to, by address or in files of its folder.",
    ),
]


def check(
    document: DocumentPlace,
    base_url: BaseUrl = None,
    credential: CredentialNames = None,
    header: HeaderNames = None,
    operation: OperationNames = None,
    tag: Tags = None,
    path: Paths = None,
    method: Methods = None,
    remote_references: RemoteReferences = False,
    as_json: AsJson = False,
) -> None:
    """Show which operations of a document become tools, and which do not and why. Exits with 1 if none does.

    Nothing is registered or called, so credentials and headers are named without their variables; only where documents
    are fetched, the headers need theirs.
    """
    fetched = remote_references or _is_address(document)
    secrets = {
        "credentials": _placeholders(credential),
        "headers": secrets_of("--header", header) if fetched else _placeholders(header),
    }
    chosen = {"operations": operation, "tags": tag, "paths": path, "methods": method}
    settings = source_settings(document, base_url=base_url, remote_references=remote_references, **chosen)
    offered, left_out = _load(settings | secrets)
    impossible = tools_without_valid_call(offered.values())
    tools = [PromptTool(tool.name, tool.description, tool.parameters) for tool in offered.values()]
    grammars = time_grammars(tools)
    tokens = estimated_tokens(tools)
    if as_json:
        report = {
            "operations": len(tools) + _operations(left_out, offered),
            "tools": [tool.name for tool in tools],
            "left_out": [dataclasses.asdict(each) for each in left_out],
            "without_valid_call": impossible,
            "prompt_tokens": tokens,
            "grammars": grammars if isinstance(grammars, str) else dataclasses.asdict(grammars),
        }
        typer.echo(json.dumps(report, indent=2))
    else:
        _print(offered.values(), left_out, tokens, grammars)
        if impossible:
            output().print(as_text(f"no valid arguments were found for: {', '.join(impossible)}"), soft_wrap=True)
    if not tools:
        raise CommandError(
            "no operation of the document can be offered", remedy="do what the reasons say, or select other operations"
        )


def source_settings(document: str, **settings: Any) -> dict[str, Any]:
    """The settings that are given, and the document by its address or as the text of a file. Raises `UsageProblem`."""
    if _is_address(document):
        place = {"url": document}
    else:
        place = {"document": _with_files(document) if settings.get("remote_references") else _text(document)}
    return {**place, **{name: value for name, value in settings.items() if value}}


def _is_address(document: str) -> bool:
    return document.startswith(("http://", "https://"))


def _placeholders(options: Sequence[str] | None) -> dict[str, str]:
    """The names of NAME=VARIABLE, each with a value that is not used."""
    return {option.partition("=")[0]: "not sent" for option in options or ()}


def secrets_of(option: str, values: Sequence[str] | None) -> dict[str, str]:
    """The secrets of an option's NAME=VARIABLE, from the environment: others can see command-line arguments."""
    secrets = {}
    for value in values or ():
        name, _, variable = value.partition("=")
        if not (secret := os.environ.get(variable or name)):
            raise UsageProblem(
                f"{option} {value}: the variable {variable or name!r} is not set",
                remedy="write NAME=VARIABLE, and the secret into the variable",
            )
        secrets[name] = secret
    return secrets


def tools_without_valid_call(tools: Iterable[Tool]) -> list[str]:
    """Tools for which no example can be made: their schemas mostly contradict themselves."""
    from orchestrator.tools.example import example_arguments

    return [tool.name for tool in tools if example_arguments(tool.parameters) is None]


def _load(settings: dict[str, Any]) -> tuple[Mapping[str, Tool], Sequence[LeftOut]]:
    """The document's tools by name, which may be none, and what is left out. Raises `UsageProblem`."""
    try:
        from pydantic import ValidationError

        from orchestrator.tools.egress import Egress
        from orchestrator.tools.errors import ToolSourceError
        from orchestrator.tools.kinds import load_source, parse_source
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"`tools check` needs the package {error.name}", remedy="pip install 'alpha-umi[orchestrator]'"
        ) from error
    hosts = [host] if "url" in settings and (host := urlsplit(settings["url"]).hostname) else []

    async def load() -> ToolProvider:
        # The document is fetched from wherever this user points to; nothing else is sent.
        async with Egress(allow_loopback=True, private_hosts=hosts) as egress:
            source = parse_source({"name": "check", **settings})
            return await load_source(source, egress)

    try:
        provider = asyncio.run(load())
    except ToolSourceError as error:
        if error.left_out:
            return {}, error.left_out
        raise UsageProblem(f"{error.field}: {error.message}", remedy=error.remedy) from error
    except ValidationError as error:
        raise UsageProblem(explain(error)) from error
    return provider.tools, provider.left_out


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path} is not text in UTF-8", remedy="name an OpenAPI document") from error
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}", remedy="name a file, or an address") from error


def _with_files(path: str) -> str:
    """The document with what it refers to in files of its own folder and below. Raises `UsageProblem`.

    References to addresses stay for the orchestrator, which fetches them through its egress.
    """
    from orchestrator.tools.errors import DocumentError, SourceUnreachableError
    from orchestrator.tools.openapi.references import bundled

    raw, place = _text(path).encode(), Path(path).resolve()

    def read(address: str) -> bytes:
        parts = urlsplit(address)
        file = Path(unquote(parts.path)).resolve()
        if parts.scheme != "file" or not file.is_relative_to(place.parent) or not file.is_file():
            raise SourceUnreachableError("not a file of this folder", field="#", remedy="bundle the document")
        return file.read_bytes()

    async def load(address: str) -> bytes:
        return await asyncio.to_thread(read, address)

    try:
        return asyncio.run(bundled(raw, place.as_uri(), load)).decode()
    except DocumentError as error:
        raise UsageProblem(f"{error.field}: {error.message}", remedy=error.remedy) from error


def time_grammars(tools: Sequence[PromptTool]) -> Grammars | str:
    """The slowest grammar; a text says why there is none."""
    try:
        from alpha_umi.serving.calls.grammar import call_grammar
    except ModuleNotFoundError as error:
        return f"not compiled: needs the package {error.name}"
    end = time.monotonic() + GRAMMAR_TIME_S
    times: dict[str, float] = {}
    for tool in tools:
        started = time.monotonic()
        if started > end:
            break
        call_grammar([tool])
        times[tool.name] = time.monotonic() - started
    if not times:
        return "none"
    slowest = max(times, key=lambda name: times[name])
    return Grammars(slowest, round(times[slowest] * 1_000), len(times), len(tools) - len(times))


def _print(tools: Iterable[Tool], left_out: Sequence[LeftOut], tokens: int, grammars: Grammars | str) -> None:
    listed = list(tools)
    missing = _operations(left_out, {tool.name for tool in listed})
    table = table_of("tool", "effect", "description")
    for tool in listed:
        table.add_row(as_text(tool.name), as_text(tool.effect), as_text(tool.description.partition("\n")[0]))
    if listed:
        output().print(table)
    print_left_out(left_out)
    summary = f"\n{len(listed) + missing} operations: {len(listed)} tools, {missing} left out"
    costs = f"; about {tokens:,} prompt tokens; slowest grammar: {_slowest(grammars)}" if listed else ""
    output().print(as_text(f"{summary}{costs}"), soft_wrap=True)


def _operations(left_out: Iterable[LeftOut], tools: Collection[str]) -> int:
    """How many operations did not become tools; the others are offered without an optional part."""
    return sum(each.name not in tools for each in left_out)


def print_left_out(left_out: Sequence[LeftOut | LeftOutInfo]) -> None:
    """The operations that did not become tools, under each reason: one missing credential may leave out hundreds."""
    tables: dict[str, Table] = {}
    for each in left_out:
        table = tables.setdefault(each.reason, table_of("left out", "operation", "place"))
        table.add_row(*map(as_text, (each.name, each.operation, each.field)))
    for reason, table in tables.items():
        output().print()
        output().print(as_text(f"{table.row_count} left out: {reason}"), soft_wrap=True)
        output().print(table)


def _slowest(grammars: Grammars | str) -> str:
    if isinstance(grammars, str):
        return grammars
    skipped = f" ({grammars.skipped} tools were not tried)" if grammars.skipped else ""
    return f"{grammars.slowest}, {grammars.slowest_ms} ms{skipped}"


def table_of(*headings: str) -> Table:
    """An empty table with these headings."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
