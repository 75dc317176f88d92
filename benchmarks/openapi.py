"""Tools from OpenAPI documents: one row for each document of a folder, and the goals.

    python -m benchmarks.openapi FOLDER [--only NAME] [--verbose] [--json FILE]
    python -m benchmarks.openapi --large

Each document is registered as an operator would: with made-up credentials, and with `base_url` where it has no absolute
server. Every tool is called with sample values, and the request that would be sent is compared with one that
`documents` predicts from the document alone. Sample calls are written by the caller's grammar, and read by its check.
`--large` registers 1,000 operations at a real orchestrator and measures `/healthz` meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from llguidance import LLMatcher, LLTokenizer
from pydantic import SecretStr

from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles import turns
from alpha_umi.serving.calls.offer import Rejected, call_grammars, prompt_tools, read_call
from benchmarks import orchestrator
from benchmarks.documents.calls import CREDENTIAL, KINDS, ArgumentMapping, Calls, SampleCall
from benchmarks.documents.reading import Document, Endpoint, Json, Unreadable, load
from benchmarks.documents.samples import NoSample, Samples, plain, written
from benchmarks.documents.wire import Unspecified, differences
from benchmarks.report import Row, show, write_json
from orchestrator.tools.egress import Answer, Egress, OutboundRequest
from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.provider import OpenApiProvider, OpenApiSource, load_openapi

TITLE = "Tools from OpenAPI documents"
BASE_URL = "https://base.example.org/v0"
TOOLS_PER_GRAMMAR = 100
ANSWER_TOKENS = 512
DOCUMENT_TIMEOUT_S = 900.0
LARGE_OPERATIONS = 1_000


@dataclass
class Measured:
    """Everything measured of one document. `findings` are (operation, what is wrong)."""

    name: str
    megabytes: float
    operations: int = 0
    refused: str = ""
    seconds: float = 0.0
    growth_mb: float = 0.0
    tools: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    grammar_ms: list[float] = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def row(self) -> Row:
        """The document's row of the table."""
        return {
            "document": self.name,
            "MB": round(self.megabytes, 2),
            "operations": self.operations,
            "tools": self.tools,
            "s": self.seconds,
            "s/MB": self.seconds / self.megabytes,
            "MB more": round(self.growth_mb),
            "requests": self.counts["requests"],
            "equal": self.counts["equal"],
            "refused": self.counts["refused"],
            "differ": self.counts["differ"],
            "no sample": self.counts["no sample"],
            "calls": self.counts["calls"],
            "written": self.counts["written"],
            "invalid": self.counts["invalid"],
            "let pass": self.counts["let pass"],
            "grammar ms": max(self.grammar_ms, default=None),
        }


def measure(path: Path) -> Measured:
    """Everything of one document; its own faults are findings, whatever they are."""
    document = load(path)
    measured = Measured(path.stem, path.stat().st_size / 1e6, len(document.endpoints()))
    try:
        asyncio.run(_measure(path, document, measured))
    except ToolSourceError as error:
        measured.refused = str(error)
    return measured


async def _measure(path: Path, document: Document, measured: Measured) -> None:
    recorder = _Recorder()
    text = await asyncio.to_thread(path.read_text, encoding="utf-8-sig")
    base_url = None if re.match(r"https?://[\w.-]+", document.server()) else BASE_URL
    source = OpenApiSource(
        name="benchmark",
        document=text,
        base_url=base_url,
        credentials=dict.fromkeys(document.schemes(), SecretStr(CREDENTIAL)),
    )
    gc.collect()
    before_mb, started = _memory_mb("VmRSS"), time.monotonic()
    provider = await load_openapi(source, cast(Egress, recorder), 100_000)
    measured.seconds = time.monotonic() - started
    measured.growth_mb = _memory_mb("VmHWM") - before_mb
    measured.tools = len(provider.tools)
    for each in getattr(provider, "left_out", ()):
        measured.left_out[each.reason] += 1
        measured.findings.append((each.operation, f"left out: {each.reason}"))
    for endpoint, operation in _matched(document, provider):
        await _check_requests(provider, recorder, Checked(document, endpoint, operation, base_url), measured)
    _check_calls(list(provider.tools.values()), measured)


@dataclass(frozen=True)
class Checked:
    """An operation as the document has it, and as the product reads it."""

    document: Document
    endpoint: Endpoint
    operation: Operation
    base_url: str | None

    def calls(self) -> Calls:
        """Its sample calls. Raises `Unreadable`, `Unspecified`, `ValueError` where this reading has none."""
        parameters = {(p.location, p.wire_name): p.argument for p in self.operation.parameters}
        required = frozenset(self.operation.tool.parameters.get("required", ()))
        mapping = ArgumentMapping(cast(Mapping[tuple[str, str], str], parameters), self.operation.body, required)
        return Calls(self.document, self.endpoint, mapping, base_url=self.base_url)


class _Recorder:
    """Stands for the HTTP client: holds the last request, and answers it."""

    def __init__(self) -> None:
        self.request: OutboundRequest | None = None

    async def send(self, request: OutboundRequest, *, timeout_s: float, max_body_bytes: int = 0) -> Answer:
        self.request = request
        return Answer(200, "application/json", None, b"{}", truncated=False)


def _matched(document: Document, provider: OpenApiProvider) -> Iterator[tuple[Endpoint, Operation]]:
    """Each tool's operation with its endpoint: by method and path, then by name, then in order."""
    waiting: dict[tuple[str, str], list[Endpoint]] = defaultdict(list)
    for endpoint in document.endpoints():
        waiting[endpoint.method, endpoint.path.partition("#")[0]].append(endpoint)
    for name, (operation, _) in provider._operations.items():
        candidates = waiting[operation.method, operation.path.partition("#")[0]]
        same = [e for e in candidates if re.sub(r"\W+", "_", str(e.node.get("operationId"))).strip("_") == name]
        if candidates:
            endpoint = (same or candidates)[0]
            candidates.remove(endpoint)
            yield endpoint, operation


async def _check_requests(provider: OpenApiProvider, recorder: _Recorder, checked: Checked, measured: Measured) -> None:
    label = f"{checked.endpoint.method} {checked.endpoint.path}"
    try:
        calls = checked.calls()
    except (Unreadable, Unspecified, ValueError) as error:
        measured.counts["no sample"] += len(KINDS)
        measured.findings.append((label, f"no sample: {error}"))
        return
    for parameter in calls.missing():
        measured.counts["differ"] += 1
        measured.findings.append((label, f"the required parameter {parameter!r} is no argument"))
    for call in calls.calls():
        if isinstance(call, str):
            measured.counts["no sample"] += 1
            measured.findings.append((label, f"no sample: {call}"))
            continue
        outcome, reason = await _outcome(provider, recorder, checked.operation.tool.name, call)
        measured.counts["requests"] += 1
        measured.counts[outcome] += 1
        if reason:
            measured.findings.append((label, f"{outcome}: {reason} <- {_text(call.arguments)[:400]}"))


async def _outcome(provider: OpenApiProvider, recorder: _Recorder, name: str, call: SampleCall) -> tuple[str, str]:
    recorder.request = None
    arguments = json.loads(_text(call.arguments))
    result = await provider.call(name, arguments, idempotency_key="key", timeout_s=1)
    if (request := recorder.request) is None:
        return "refused", result.content
    compared = [
        differences(expected, request.method, request.url, request.headers, request.content)
        for expected in call.expected
    ]
    fewest = min(compared, key=len)
    return ("differ", "; ".join(fewest)) if fewest else ("equal", "")


def _text(value: Any, *, indent: int | None = None) -> str:
    return written(value, random.Random(7), indent=indent)  # noqa: S311 - nothing to guess


def _check_calls(tools: Sequence[Any], measured: Measured) -> None:
    """Grammars of up to 100 tools together, and sample calls of each."""
    tokenizer = LLTokenizer("byte")
    offered = [turns.Tool(tool.name, tool.description, tool.parameters) for tool in tools]
    for start in range(0, len(offered), TOOLS_PER_GRAMMAR):
        group = offered[start : start + TOOLS_PER_GRAMMAR]
        started = time.monotonic()
        try:
            shown = prompt_tools(group)
            first, _ = call_grammars(shown, ANSWER_TOKENS)
            matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(first.lark))
            matcher.compute_bitmask()
        except ServiceError as error:
            measured.findings.append((group[0].name, f"no grammar: {error.detail}"))
            continue
        measured.grammar_ms.append((time.monotonic() - started) * 1_000)
        for tool in shown:
            _check_tool(tool, shown, (matcher, tokenizer), measured)


def _check_tool(tool: turns.Tool, shown: Sequence[turns.Tool], grammar: tuple[Any, Any], measured: Measured) -> None:
    samples = Samples(dict(tool.parameters), tool.name)
    for kind in KINDS:
        try:
            arguments = samples.some(kind)
        except NoSample as reason:
            measured.counts["no sample"] += 1
            measured.findings.append((tool.name, f"no sample of its schema: {reason}"))
            continue
        for indent in (None, 2):
            text = f"Action: {tool.name}\nAction Input: {_text(arguments, indent=indent)}"
            measured.counts["calls"] += 1
            if isinstance(rejected := read_call(text, shown), Rejected):
                measured.findings.append(
                    (tool.name, f"a valid call is refused: {rejected.reason[:200]} <- {text[:300]}")
                )
            elif (stop := _stop(text, grammar)) is None:
                measured.counts["written"] += 1
            else:
                measured.findings.append(
                    (tool.name, f"cannot be written after {text[max(0, stop - 60) : stop]!r}: {text[stop:][:60]!r}")
                )
        if kind != "full":
            for invalid in _invalid(arguments, samples):
                measured.counts["invalid"] += 1
                text = f"Action: {tool.name}\nAction Input: {_text(invalid)}"
                if not isinstance(read_call(text, shown), Rejected):
                    measured.counts["let pass"] += 1
                    measured.findings.append((tool.name, f"an invalid call is let pass: {text[:300]}"))


def _stop(text: str, grammar: tuple[Any, Any]) -> int | None:
    """Where the grammar stops taking the text (in bytes), or None."""
    matcher, tokenizer = grammar
    matcher.reset()
    tokens = tokenizer.tokenize_str(text)
    count = int(matcher.validate_tokens(tokens))
    if count < len(tokens):
        return len(tokenizer.decode_bytes(tokens[:count]).decode(errors="ignore"))
    return None if matcher.consume_tokens(tokens) and matcher.is_accepting() else len(text)


def _invalid(arguments: Json, samples: Samples) -> Iterator[Json]:
    """The arguments with one fault each: a member too many, a required one missing, values of other types."""
    changed: list[Json] = [{**arguments, "no_such_argument": 1}]
    for name in arguments:
        changed.append({other: value for other, value in arguments.items() if other != name})
        others: list[Any] = ["no such value", 0.5, True, None, [[]], {"x": {}}]
        changed += [{**arguments, name: other} for other in others]
    return (each for each in changed[:40] if not samples.validator.is_valid(plain(each)))


def _memory_mb(field_name: str) -> float:
    """A figure of this process in MB: `VmRSS` now, `VmHWM` at its highest."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(rf"^{field_name}:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) / 1_000 if match else 0.0


def measure_folder(folder: Path, *, only: str | None = None) -> list[Measured]:
    """All documents, each in a process of its own."""
    paths = [p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".yml", ".yaml") and only in (None, p.stem)]
    measured = []
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for path in paths:
            try:
                measured.append(pool.apply_async(measure, (path,)).get(DOCUMENT_TIMEOUT_S))
            except Exception as error:
                measured.append(
                    Measured(path.stem, path.stat().st_size / 1e6, refused=f"{type(error).__name__}: {error}")
                )
    return measured


def goals(measured: Sequence[Measured]) -> list[Row]:
    """The sums beside what they must reach."""
    registered = [each for each in measured if not each.refused]
    total = sum((each.counts for each in measured), Counter[str]())
    operations = sum(each.operations for each in registered)
    grammar_ms = [ms for each in measured for ms in each.grammar_ms]
    speeds = [each.seconds / each.megabytes for each in registered if each.megabytes > 0.5]

    def row(goal: str, value: Any) -> Row:
        return {"goal": goal, "measured": value}

    return [
        row("documents registered: >= 46 of 48", f"{len(registered)} of {len(measured)}"),
        row("their operations as tools: >= 98 %", _share(sum(e.tools for e in registered), operations)),
        row("all operations as tools", _share(sum(e.tools for e in registered), sum(e.operations for e in measured))),
        row("requests equal to the independent reading: 100 %", _share(total["equal"], total["requests"])),
        row("requests sent otherwise, shortened or invented: 0", total["differ"]),
        row("valid calls that the grammar can write: >= 99.5 %", _share(total["written"], total["calls"])),
        row("invalid calls refused: 100 %", _share(total["invalid"] - total["let pass"], total["invalid"])),
        row("grammar of up to 100 tools, median: <= 300 ms", statistics.median(grammar_ms or [0])),
        row("grammar of up to 100 tools, slowest: <= 1,500 ms", max(grammar_ms, default=0)),
        row("s/MB of documents over 0.5 MB, slowest: <= 0.5", max(speeds, default=0)),
        row("MB more memory, most: <= 150", max((each.growth_mb for each in registered), default=0)),
    ]


def _share(part: int, total: int) -> str:
    return f"{part:,} of {total:,} ({100 * part / total:.2f} %)" if total else "none"


def reasons(measured: Sequence[Measured]) -> list[Row]:
    """Why documents and operations were left out, most frequent first."""
    left_out = sum((each.left_out for each in measured), Counter[str]())
    rows: list[Row] = [{"of": each.name, "reason": each.refused[:200]} for each in measured if each.refused]
    return rows + [{"of": f"{count} operations", "reason": reason[:200]} for reason, count in left_out.most_common(30)]


async def measure_large() -> list[Row]:
    """Seconds to register 1,000 operations, and the slowest answer of `/healthz` meanwhile."""
    paths = {
        f"/things/{number}": {
            "get": {"operationId": f"thing_{number}", "responses": {}},
            "post": {
                "operationId": f"change_thing_{number}",
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                "responses": {},
            },
        }
        for number in range(LARGE_OPERATIONS // 2)
    }
    names = {f"member_{number}": {"type": "string", "description": "A member"} for number in range(20)}
    thing = {
        "type": "object",
        "properties": {**names, "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "things", "version": "1"},
        "servers": [{"url": "https://things.example.org"}],
        "paths": paths,
        "components": {"schemas": {"Thing": thing}},
    }
    body = json.dumps({"name": "things", "document": document}).encode()
    with orchestrator.services() as services_url:
        async with orchestrator.running_orchestrator(services_url) as (_, client):
            registering = asyncio.create_task(_register(client, body))
            waits = [await _healthz_s(client)]
            while not registering.done():
                waits.append(await _healthz_s(client))
            seconds = await registering
    return [
        {"goal": "1,000 operations registered: <= 3 s", "measured": seconds},
        {"goal": "/healthz meanwhile, slowest: <= 100 ms", "measured": max(waits) * 1_000},
        {"goal": "answers of /healthz meanwhile", "measured": len(waits)},
    ]


async def _register(client: httpx.AsyncClient, body: bytes) -> float | str:
    started = time.monotonic()
    response = await client.post("/v1/tool-sources", content=body, headers={"content-type": "application/json"})
    return time.monotonic() - started if response.is_success else response.text[:200]


async def _healthz_s(client: httpx.AsyncClient) -> float:
    started = time.monotonic()
    (await client.get("/healthz")).raise_for_status()
    elapsed = time.monotonic() - started
    await asyncio.sleep(0.005)
    return elapsed


def main() -> None:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="OpenAPI documents, JSON or YAML")
    parser.add_argument("--only", metavar="NAME", help="one document, by the name of its file without the ending")
    parser.add_argument("--verbose", action="store_true", help="print what is wrong with each operation")
    parser.add_argument("--large", action="store_true", help="measure a document of 1,000 operations, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to a file, too")
    options = parser.parse_args()
    if options.folder is None and not options.large:
        parser.error("give a folder, or --large")
    measured = measure_folder(options.folder, only=options.only) if options.folder else []
    rows = [each.row() for each in measured if not each.refused]
    if options.verbose:
        for each in measured:
            for operation, reason in each.findings:
                print(f"{each.name}\t{operation}\t{reason}")
    show(TITLE, rows)
    show("Left out", reasons(measured))
    summary = (goals(measured) if measured else []) + (asyncio.run(measure_large()) if options.large else [])
    show("Goals", summary)
    write_json(options.json, TITLE, rows + summary)


if __name__ == "__main__":
    main()
