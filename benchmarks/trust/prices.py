"""Requests that are small and dear: patterns, schemas and documents. Everybody else must not notice them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import aiohttp

from benchmarks.scripted import TOOL
from benchmarks.trust.process import Process, health_of, memory_of
from benchmarks.trust.services import instruction
from benchmarks.trust.system import CREATE, System, system
from benchmarks.trust.table import Check, Form, Outcome, require

HEALTH_S, GROWN_MB = 0.2, 64
ANSWER_S = 90.0
NO_ANSWER = 599
DEAR = "\\p{L}{1,200}"
Json = dict[str, Any]


def client_tool(properties: Json) -> Json:
    """A tool of the client."""
    return {"name": "survey", "parameters": {"type": "object", "properties": properties}}


def patterns(count: int) -> Json:
    """Properties with a pattern each, none like another."""
    return {f"p{number}": {"type": "string", "pattern": f"{DEAR}{number}"} for number in range(count)}


def document(count: int) -> Json:
    """An OpenAPI document with a pattern in each of its operations."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "patterns", "version": "1"},
        "paths": {
            f"/p/{number}": {
                "get": {
                    "operationId": f"p{number}",
                    "parameters": [
                        {"name": "q", "in": "query", "schema": {"type": "string", "pattern": f"{DEAR}{number}"}}
                    ],
                    "responses": {"200": {"description": "yes"}},
                }
            }
            for number in range(count)
        },
    }


def nested(depth: int) -> Json:
    """A schema that deep."""
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def referring(count: int) -> Json:
    """A tool whose properties refer to a definition each."""
    tool = client_tool({f"p{number}": {"$ref": f"#/$defs/d{number}"} for number in range(count)})
    tool["parameters"]["$defs"] = {f"d{number}": {} for number in range(count)}
    return tool


def large_document(count: int) -> Json:
    """An OpenAPI document with 3.5 KB in each of its operations."""
    result = document(count)
    for item in result["paths"].values():
        item["get"]["parameters"][0]["schema"] = {"type": "string", "description": "x" * 3_500}
    return result


def doubling_document(depth: int) -> Json:
    """A document whose schemas refer twice to the next one each: written out it has no end."""
    result = document(4_000)
    for item in result["paths"].values():
        item["get"]["parameters"][0]["schema"] = {"$ref": "#/components/schemas/D0"}
    schemas: Json = {f"D{depth}": {"type": "string"}}
    for number in range(depth):
        next_one = {"$ref": f"#/components/schemas/D{number + 1}"}
        schemas[f"D{number}"] = {"type": "object", "properties": {"a": next_one, "b": next_one}}
    return result | {"components": {"schemas": schemas}}


def _question(tools: list[Any], **script: str) -> Json:
    question = {"instruction": instruction("dear", steps=0, **script), "background": True}
    return question | ({"tools": tools} if tools else {})


def source(name: str, described: Json) -> tuple[str, Json]:
    """The request that registers a document."""
    return "/v1/tool-sources", {"name": name, "document": described, "base_url": "http://127.0.0.1:9"}


def dear_requests() -> dict[str, tuple[str, Json]]:
    """Requests of other kinds, by name: path and body."""
    many = [{"name": f"t{number}", "parameters": {"type": "object"}} for number in range(5_000)]
    words = [f"word-{number}" for number in range(20_000)]
    alternatives = [{"const": number} for number in range(5_000)]
    return {
        "a deep schema": (CREATE, _question([client_tool({"a": nested(150)})])),
        "a large enum": (CREATE, _question([client_tool({"a": {"enum": words}})])),
        "many alternatives": (CREATE, _question([client_tool({"a": {"anyOf": alternatives}})])),
        "5,000 tools": (CREATE, _question(many)),
        "5,000 unknown tools": (CREATE, _question([f"unknown_{number}" for number in range(5_000)])),
        "a long unknown tool": (CREATE, _question(["x" * 100_000])),
        "a large instruction": (CREATE, _question([], text="Zalgo\u0301\u0327 " * 15_000)),
        "metadata": (CREATE, _question([]) | {"metadata": {f"k{number}": "v" * 500 for number in range(2_000)}}),
        "2,000 operations": source("many", document(2_000) | {"tags": words}),
        "a pattern that backtracks": (
            CREATE,
            _question([client_tool({"a": {"type": "string", "pattern": "^(a+)+$"}})]),
        ),
        "references": (CREATE, _question([referring(8_000)])),
        "40,000 arguments": (f"/v1/tools/{TOOL}/calls", {"arguments": {f"q{number}": 1.5 for number in range(40_000)}}),
        "a document of 15 MB": source("large", large_document(4_000)),
        "a document that explodes": source("explosive", doubling_document(40)),
        "a counted pattern": (CREATE, _question([client_tool({"a": {"pattern": "((a{1,99}){1,99}){1,99}"}})])),
    }


@contextlib.asynccontextmanager
async def _warm_system() -> AsyncIterator[System]:
    """A system that has read a large schema: the server of its worker processes runs, which costs memory once."""
    async with system() as tested:
        large = client_tool({"a": {"enum": [f"word-{number}" for number in range(20_000)]}})
        require((await tested.ask("POST", CREATE, _question([large]))).status == 202, "no large schema was accepted")
        await tested.settled(seconds=60)
        yield tested


async def _one_request(form: Form, path: str, body: Json) -> Outcome:
    """One request of one key."""
    async with _warm_system() as tested:
        seconds, health, grown, status = await _measured(tested, path, body)
    return Outcome(
        f"{len(json.dumps(body)) / 1e3:,.0f} KB: answered {status} after {seconds:.2f} s; "
        f"/healthz worst {health * 1e3:.0f} ms; +{grown:.0f} MB",
        form.within(health, HEALTH_S) and form.fits(grown, GROWN_MB) and status < 500,
    )


async def _measured(tested: System, path: str, body: Json) -> tuple[float, float, float, int]:
    """Seconds of the request, the slowest `/healthz` beside it, the growth of memory in MB, and the status."""
    with memory_of(tested.orchestrator) as grown:
        async with health_of(tested.orchestrator) as health:
            started = time.monotonic()
            try:
                status = (await tested.ask("POST", path, body, timeout_s=ANSWER_S)).status
            except TimeoutError:
                status = NO_ANSWER
            seconds = time.monotonic() - started
            await asyncio.sleep(0.5)
    return seconds, health.worst, grown.mb, status


async def _document_of_patterns(form: Form) -> Outcome:
    """A document of 6,000 patterns, and the restart after it."""
    count = form.count(6_000, 600)
    async with _warm_system() as tested:
        body = {"name": "patterns", "document": document(count), "base_url": tested.tool.url}
        seconds, health, grown, status = await _measured(tested, "/v1/tool-sources", body)
        tested.orchestrator.send(signal.SIGTERM)
        await tested.orchestrator.ended()
        started = tested.orchestrator.start()
        again = await tested.orchestrator.ready("/healthz", seconds=180) - started
    return Outcome(
        f"{count:,} patterns: answered {status} after {seconds:.1f} s; /healthz worst {health * 1e3:.0f} ms; "
        f"+{grown:.0f} MB; listening after a restart in {again:.1f} s",
        form.within(health, HEALTH_S) and form.fits(grown, GROWN_MB) and form.within(again, 2) and status < 500,
    )


async def one_by_one(form: Form, kinds: Callable[[], dict[str, tuple[str, Json]]]) -> Outcome:
    """One request after another; the worst of them counts."""
    requests = kinds()
    slowest, largest, faults = (0.0, ""), (0.0, ""), []
    async with _warm_system() as tested:
        for name, (path, body) in requests.items():
            _, health, grown, status = await _measured(tested, path, body)
            slowest, largest = max(slowest, (health, name)), max(largest, (grown, name))
            faults += [f"{name}: {status}"] if status >= 500 else []
    return Outcome(
        f"{len(requests)} kinds: /healthz worst {slowest[0] * 1e3:.0f} ms ({slowest[1]}); +{largest[0]:.0f} MB "
        f"({largest[1]}); answered with 5xx or not at all: {', '.join(faults) or 'none'}",
        form.within(slowest[0], HEALTH_S) and form.fits(largest[0], GROWN_MB) and not faults,
    )


async def _caller(form: Form) -> Outcome:
    """The caller service with a scripted engine: one request with dear patterns."""
    caller = Process(["services.caller"])
    caller.environment |= {"ALPHA_UMI_ROLE_PORT": str(caller.port), "ALPHA_UMI_ROLE_ENGINE": "scripted"}
    body = {
        "tools": [client_tool(patterns(form.count(1_000, 100)))],
        "history": [
            {"role": "user", "content": "survey them"},
            {"role": "planner", "content": "I ask.\nNext: caller."},
        ],
    }
    try:
        caller.start()
        await caller.ready("/readyz")
        with memory_of(caller) as grown:
            async with health_of(caller) as health, aiohttp.ClientSession() as session:
                started = time.monotonic()
                async with session.post(f"{caller.url}/v1/call", json=body) as response:
                    status = response.status
                    await response.read()
                seconds = time.monotonic() - started
    finally:
        caller.close()
    return Outcome(
        f"{len(json.dumps(body)) / 1e3:.0f} KB: answered {status} after {seconds:.2f} s; /healthz worst "
        f"{health.worst * 1e3:.0f} ms; +{grown.mb:.0f} MB",
        form.within(health.worst, HEALTH_S) and form.fits(grown.mb, GROWN_MB),
    )


GOAL = "/healthz <= 200 ms, <= +64 MB"


def _patterns(name: str, fault: str, count: int) -> Check:
    body = _question([client_tool(patterns(count))])
    return Check(name, fault, GOAL, partial(_one_request, path=CREATE, body=body))


CHECKS = [
    _patterns("patterns", f"a request of 6 KB with 100 patterns `{DEAR}`", 100),
    _patterns("many-patterns", f"a request of 120 KB with 2,000 patterns `{DEAR}`", 2_000),
    Check("patterns-in-caller", f"the caller service: 1,000 patterns `{DEAR}`", GOAL, _caller),
    Check("document-of-patterns", "a document of 6,000 patterns, and a restart", f"{GOAL}, listening <= 2 s",
          _document_of_patterns),
    Check("dear-requests", "single requests of other dear kinds", f"{GOAL}, no 5xx",
          partial(one_by_one, kinds=dear_requests)),
]  # fmt: skip
