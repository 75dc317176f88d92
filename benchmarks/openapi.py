"""Tools from OpenAPI documents: one row for each document of a folder, and the goals.

    python -m benchmarks.openapi FOLDER [--only NAME] [--verbose] [--json FILE]
    python -m benchmarks.openapi --large

Each document is registered as an operator would do it: with made-up credentials, and with `base_url` where it has no
absolute server; times are CPU times. Every tool is called with sample values, and the request that would be sent is
compared with one that `documents` predicts from the document alone. Sample calls are written by the caller's grammar
and read by its check.
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
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote

import httpx
from llguidance import LLMatcher, LLTokenizer
from pydantic import SecretStr

from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles import turns
from alpha_umi.serving.calls.grammar import call_grammar
from alpha_umi.serving.calls.offer import Rejected, prompt_tools, read_call
from benchmarks import orchestrator
from benchmarks.documents.calls import CREDENTIAL, KINDS, ArgumentMapping, Calls
from benchmarks.documents.reading import Document, Endpoint, Json, Unreadable, load
from benchmarks.documents.samples import NoSample, Samples, written
from benchmarks.documents.wire import Unspecified, differences
from benchmarks.report import Row, show, write_json
from orchestrator.tools.egress import Answer, Egress, OutboundRequest
from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.model import Tool
from orchestrator.tools.numbers import read_json
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.provider import OpenApiProvider, OpenApiSource, load_openapi, packed_document
from orchestrator.tools.tool_sets import role_tool

TITLE: Final = "Tools from OpenAPI documents"
BASE_URL: Final = "https://base.example.org/v0"
TOOLS_PER_GRAMMAR: Final = 100
DOCUMENT_TIMEOUT_S: Final = 900.0
LARGE_OPERATIONS: Final = 1_000
LEFT_OUT: Final = "left out"
# Of each document, in the order of the table: requests by outcome, then calls.
_COUNTS: Final = ("requests", "equal", "refused", "differ", "unsampled", "calls", "written", "invalid", "let pass")


@dataclass
class Measured:
    """Everything measured of one document. `findings` are (operation, outcome, reason)."""

    name: str
    megabytes: float
    operations: int = 0
    refused: str = ""
    seconds: float = 0.0
    growth_mb: float = 0.0
    tools: int = 0
    prompt_tokens: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    grammar_ms: list[float] = field(default_factory=list)
    findings: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, operation: str, outcome: str, reason: str = "", *, times: int = 1) -> None:
        """Count an outcome, with the reason if something is wrong."""
        self.counts[outcome] += times
        if reason:
            self.findings.append((operation, outcome, reason))

    def row(self) -> Row:
        """The document's row of the table."""
        return {
            "document": self.name,
            "MB": round(self.megabytes, 2),
            "ops": self.operations,
            "tools": self.tools,
            "prompt": self.prompt_tokens,
            "s": self.seconds,
            "s/MB": self.seconds / self.megabytes,
            "+MB": round(self.growth_mb),
            **{name: self.counts[name] for name in _COUNTS},
            "grammar": max(self.grammar_ms, default=None),
        }


def measure(path: Path) -> Measured:
    """Everything of one document."""
    document = load(path)
    measured = Measured(path.stem, path.stat().st_size / 1e6, len(document.endpoints()))
    try:
        asyncio.run(_measure(path.read_text(encoding="utf-8-sig"), document, measured))
    except ToolSourceError as error:
        measured.refused = str(error)
    return measured


async def _measure(text: str, document: Document, measured: Measured) -> None:
    recorder = _Recorder()
    base_url = None if re.match(r"https?://[\w.-]+", document.server()) else BASE_URL
    credentials = dict.fromkeys(document.schemes(), SecretStr(CREDENTIAL))
    source = OpenApiSource(name="benchmark", document=packed_document(text), base_url=base_url, credentials=credentials)
    gc.collect()
    before_mb, started = _memory_mb("VmRSS"), time.process_time()
    provider = await load_openapi(source, cast(Egress, recorder))
    measured.seconds = time.process_time() - started
    measured.growth_mb = _memory_mb("VmHWM") - before_mb
    measured.tools = len(provider.tools)
    for each in provider.left_out:
        measured.add(each.operation, LEFT_OUT, each.reason)
    incomplete = {each.name for each in provider.left_out}
    for endpoint, operation in _matched(document, provider):
        mapping = ArgumentMapping(
            {(p.location, p.wire_name): p.argument for p in operation.parameters},
            None if operation.body is None else (operation.body.media_type, operation.body.argument),
            frozenset(operation.tool.parameters.get("required", ())),
        )
        label = f"{endpoint.method} {endpoint.path}"
        try:
            calls = Calls(document, endpoint, mapping, base_url=base_url)
        except Unreadable as error:
            # What is left out openly is no fault of the request, but none can be predicted.
            outcome = "unsampled" if operation.tool.name in incomplete else "differ"
            measured.add(label, outcome, f"offered without {error}")
        except (Unspecified, ValueError) as error:
            measured.add(label, "unsampled", str(error), times=len(KINDS))
        else:
            for part, required in calls.missing():
                measured.add(label, "differ" if required else "optional", f"no argument for {part}")
            async for outcome, reason in _request_outcomes(provider, recorder, operation.tool.name, calls):
                measured.add(label, outcome, reason)
    _check_calls(provider.tools.values(), measured)


class _Recorder:
    """Stands for the HTTP client: holds the last request, and answers it."""

    request: OutboundRequest | None = None

    async def send(self, request: OutboundRequest, **_: Any) -> Answer:
        self.request = request
        return Answer(200, "application/json", None, b"{}", truncated=False)


def _matched(document: Document, provider: OpenApiProvider) -> Iterator[tuple[Endpoint, Operation]]:
    """Each tool's operation with its endpoint: by method and path, then by name, then in order."""
    waiting: dict[tuple[str, str], list[Endpoint]] = defaultdict(list)
    for endpoint in document.endpoints():
        waiting[endpoint.method, unquote(endpoint.path.partition("#")[0])].append(endpoint)
    for name, (operation, _) in provider._operations.items():
        candidates = waiting[operation.method, unquote(operation.path)]
        same = [e for e in candidates if re.sub(r"\W+", "_", str(e.node.get("operationId"))).strip("_") == name]
        endpoint = (same or candidates)[0]
        candidates.remove(endpoint)
        yield endpoint, operation


async def _request_outcomes(
    provider: OpenApiProvider, recorder: _Recorder, tool: str, calls: Calls
) -> AsyncIterator[tuple[str, str]]:
    """What to count for each sample call of an operation, and what is wrong with its request."""
    for call in calls.calls():
        if isinstance(call, str):
            yield "unsampled", call
            continue
        yield "requests", ""
        recorder.request = None
        arguments = written(call.arguments)
        result = await provider.call(tool, read_json(arguments), idempotency_key="key", timeout_s=1)
        if (sent := recorder.request) is None:
            yield "refused", f"{result.content} <- {arguments[:400]}"
            continue
        compared = [differences(each, sent.method, sent.url, sent.headers, sent.content) for each in call.expected]
        fewest = min(compared, key=len)
        yield ("differ", f"{'; '.join(fewest)} <- {arguments[:400]}") if fewest else ("equal", "")


def _check_calls(tools: Iterable[Tool], measured: Measured) -> None:
    """Grammars of up to 100 tools together, and sample calls of each."""
    offered = [role_tool(tool.name, tool) for tool in tools]
    measured.prompt_tokens = turns.estimated_tokens(offered)
    for start in range(0, len(offered), TOOLS_PER_GRAMMAR):
        group = offered[start : start + TOOLS_PER_GRAMMAR]
        try:
            started = time.process_time()
            grammar = _Grammar(group)
            measured.grammar_ms.append((time.process_time() - started) * 1_000)
        except ServiceError as error:
            reason = f"no grammar of {len(group)} tools: {error.detail}"
            measured.add(group[0].name, "calls", reason, times=len(group) * 2 * len(KINDS))
            continue
        for tool in grammar.tools:
            for outcome, reason in grammar.outcomes(tool):
                measured.add(tool.name, outcome, reason)


class _Grammar:
    """The grammar of some tools, and the check of the calls."""

    def __init__(self, tools: Sequence[turns.Tool]) -> None:
        self.tools = prompt_tools(tools)
        self._tokenizer = LLTokenizer("byte")
        self._matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_lark(call_grammar(self.tools).lark))
        self._matcher.compute_bitmask()

    def outcomes(self, tool: turns.Tool) -> Iterator[tuple[str, str]]:
        """What to count for each sample call of a tool, and what is wrong with it."""
        samples = Samples(dict(tool.parameters), tool.name)
        rng = random.Random(tool.name)  # noqa: S311 - nothing to guess
        for kind in KINDS:
            try:
                arguments = samples.some(kind)
            except NoSample as reason:
                yield "unsampled", f"of its schema: {reason}"
                continue
            for indent in (None, 2):
                yield "calls", ""
                text = f"Action: {tool.name}\nAction Input: {written(arguments, rng=rng, indent=indent)}"
                fault = self._fault(text)
                yield ("unwritten", fault) if fault else ("written", "")
            for invalid in _invalid(arguments, samples) if kind != "full" else ():
                yield "invalid", ""
                text = f"Action: {tool.name}\nAction Input: {written(invalid)}"
                if not isinstance(read_call(text, self.tools), Rejected):
                    yield "let pass", repr(text[:300])

    def _fault(self, text: str) -> str:
        """Why a valid call cannot be made; empty if it can."""
        if isinstance(rejected := read_call(text, self.tools), Rejected):
            return f"the check refuses it: {rejected.reason[:200]} <- {text[:300]!r}"
        self._matcher.reset()
        tokens = self._tokenizer.tokenize_str(text)
        count = int(self._matcher.validate_tokens(tokens))
        if count == len(tokens) and self._matcher.consume_tokens(tokens) and self._matcher.is_accepting():
            return ""
        stop = len(self._tokenizer.decode_bytes(tokens[:count]).decode(errors="ignore"))
        return f"not after {text[max(0, stop - 60) : stop]!r}: {text[stop : stop + 60]!r}"


def _invalid(arguments: Json, samples: Samples) -> Iterator[Json]:
    """The arguments with one fault each: a member too many, a required one missing, values of other types."""
    changed: list[Json] = [{**arguments, "no_such_argument": 1}]
    others: list[Any] = ["no such value", 0.5, True, None, [[]], {"x": {}}]
    for name in list(arguments)[:6]:
        changed.append({other: value for other, value in arguments.items() if other != name})
        changed += [{**arguments, name: other} for other in others]
    return (each for each in changed if not samples.validator.is_valid(each))


def _memory_mb(figure: str) -> float:
    """A figure of this process in MB: `VmRSS` now, `VmHWM` at its highest."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(rf"^{figure}:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) / 1_000 if match else 0.0


def measure_folder(folder: Path, *, only: str | None = None) -> list[Measured]:
    """All documents, each in a process of its own; a process that fails has its reason under `refused`."""
    measured = []
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".yml", ".yaml")]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for path in paths if only is None else [path for path in paths if path.stem == only]:
            try:
                measured.append(pool.apply_async(measure, (path,)).get(DOCUMENT_TIMEOUT_S))
            except Exception as error:
                failed = Measured(path.stem, path.stat().st_size / 1e6, refused=f"{type(error).__name__}: {error}")
                measured.append(failed)
    return measured


def goals(measured: Sequence[Measured]) -> list[Row]:
    """The sums beside what they must reach."""
    registered = [each for each in measured if not each.refused]
    total = sum((each.counts for each in measured), Counter[str]())
    tools = sum(each.tools for each in registered)
    grammar_ms = [ms for each in measured for ms in each.grammar_ms] or [0.0]
    speeds = [each.seconds / each.megabytes for each in registered if each.megabytes > 0.5]
    values = {
        "documents registered: >= 46 of 48": f"{len(registered)} of {len(measured)}",
        "their operations as tools: >= 98 %": _share(tools, sum(each.operations for each in registered)),
        "all operations as tools": _share(tools, sum(each.operations for each in measured)),
        "requests equal to the independent reading: 100 %": _share(total["equal"], total["requests"]),
        "requests sent otherwise, shortened or invented: 0": total["differ"],
        "valid calls that the grammar can write: >= 99.5 %": _share(total["written"], total["calls"]),
        "invalid calls refused: 100 %": _share(total["invalid"] - total["let pass"], total["invalid"]),
        "grammar of up to 100 tools, median: <= 300 ms": statistics.median(grammar_ms),
        "grammar of up to 100 tools, slowest: <= 1,500 ms": max(grammar_ms),
        "s/MB of documents over 0.5 MB, slowest: <= 0.5": max(speeds, default=0.0),
        "MB more memory, most: <= 150": max((each.growth_mb for each in registered), default=0.0),
    }
    return [{"goal": goal, "measured": value} for goal, value in values.items()]


def _share(part: int, total: int) -> str:
    return f"{part:,} of {total:,} ({100 * part / total:.2f} %)" if total else "none"


def reasons(measured: Sequence[Measured]) -> list[Row]:
    """Why documents were refused, and why operations were left out, most frequent first."""
    findings = [finding for each in measured for finding in each.findings]
    left_out = Counter(reason for _, outcome, reason in findings if outcome == LEFT_OUT)
    rows: list[Row] = [{"of": each.name, "reason": each.refused[:200]} for each in measured if each.refused]
    return rows + [{"of": f"{count} operations", "reason": reason[:200]} for reason, count in left_out.most_common(30)]


def large_document() -> Json:
    """1,000 operations: half of them take a body of twenty texts and a list of its own kind."""
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}
    texts = {f"member_{number}": {"type": "string", "description": "A member"} for number in range(20)}
    parts = {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "things", "version": "1"},
        "servers": [{"url": "https://things.example.org"}],
        "paths": {
            f"/things/{number}": {
                "get": {"operationId": f"thing_{number}", "responses": {}},
                "post": {"operationId": f"change_thing_{number}", "requestBody": body, "responses": {}},
            }
            for number in range(LARGE_OPERATIONS // 2)
        },
        "components": {"schemas": {"Thing": {"type": "object", "properties": {**texts, "parts": parts}}}},
    }


async def measure_large() -> list[Row]:
    """Seconds to register the large document, and the slowest answer of `/healthz` meanwhile."""
    body = json.dumps({"name": "things", "document": large_document()}).encode()
    with orchestrator.services() as services_url:
        async with orchestrator.running_orchestrator(services_url) as (_, client):
            registering = asyncio.create_task(_register(client, body))
            waits_s = [await _healthz_s(client)]
            while not registering.done():
                waits_s.append(await _healthz_s(client))
    return [
        {"goal": "1,000 operations registered: <= 3 s", "measured": await registering},
        {"goal": f"slowest of {len(waits_s)} answers of /healthz: <= 100 ms", "measured": max(waits_s) * 1_000},
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
    for each in measured if options.verbose else ():
        for operation, outcome, reason in each.findings:
            print(f"{each.name}\t{operation}\t{outcome}: {reason}")
    rows = [each.row() for each in measured if not each.refused]
    if measured:
        show(TITLE, rows)
        show("Left out", reasons(measured))
        show("Goals", goals(measured))
    large = asyncio.run(measure_large()) if options.large else []
    if large:
        show(f"A document of {LARGE_OPERATIONS:,} operations", large)
    write_json(options.json, TITLE, rows + goals(measured) + large)


if __name__ == "__main__":
    main()
