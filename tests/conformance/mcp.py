"""The server scenarios of MCP's own conformance suite against `/mcp`, in both eras.

The suite sends no key, so the orchestrator has none. Some scenarios call tools that a server under test has to have;
those that a registered HTTP operation can be are registered. Everything that is not left out here has to pass.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from support.serving_on_loopback import serving

from conformance.system import System, scripted_system
from conformance.table import Check

SUITE: Final = Path(__file__).parent / "node_modules"
VERSIONS: Final = ("2025-11-25", "2026-07-28")
LIMIT_S: Final = 240

# The beginnings of scenarios' names, and what they ask for that `/mcp` does not offer.
LEFT_OUT: Final = {
    "completion-": "completion",
    "elicitation-": "elicitation",
    "http-custom-header-": "tools with parameters in headers",
    "input-required-result-": "tools that ask their client for input",
    "json-schema-2020-12": "a definition that is passed on as it is; ours are read from OpenAPI documents",
    "logging-": "logging",
    "prompts-": "prompts",
    "resources-": "resources",
    "sep-2164-resource-not-found": "resources",
    "server-sse-polling": "streams that are resumed; a client that leaves cancels its call",
    "tasks-": "the extension for tasks",
    "tools-call-audio": "results with media",
    "tools-call-elicitation": "elicitation",
    "tools-call-embedded-resource": "results with media",
    "tools-call-image": "results with media",
    "tools-call-mixed-content": "results with media",
    "tools-call-sampling": "sampling",
    "tools-call-with-logging": "logging",
    "tools-call-with-progress": "a tool of another name than `run`, which reports progress",
}
# In spite of its name's beginning.
INCLUDED: Final = "input-required-result-unsupported-methods"
# The same of single checks.
CHECKS_LEFT_OUT: Final = {
    "sep-2549-prompts-list-caching-hints": "prompts",
    "sep-2549-resources-list-caching-hints": "resources",
    "sep-2549-resources-templates-list-caching-hints": "resources",
    "sep-2575-server-rejects-undeclared-capability": "a tool that needs a capability of the client",
    "sep-2575-missing-capability-http-400": "a tool that needs a capability of the client",
}


async def checks(_: System) -> Sequence[Check]:
    """The checks of both versions, of every scenario that needs nothing but what the orchestrator offers."""
    async with (
        scripted_system(api_keys="", mcp_tools="true") as system,
        serving(_tools()) as address,
        httpx.AsyncClient(base_url=system.base_url) as client,
    ):
        source = {"name": "suite", "kind": "openapi", "url": f"{address}/openapi.json", "effect": "read"}
        (await client.post("tool-sources", json=source)).raise_for_status()
        url = f"{system.base_url.removesuffix('/v1')}/mcp"
        return [check for version in VERSIONS for check in await _run(url, version)]


def _tools() -> FastAPI:
    """Tools by the names that scenarios expect, with the texts that they expect."""
    app = FastAPI()

    @app.get("/text", operation_id="test_simple_text", summary="A text")
    async def text() -> PlainTextResponse:
        return PlainTextResponse("This is a simple text response for testing.")

    @app.get("/error", operation_id="test_error_handling", summary="A failure")
    async def error() -> PlainTextResponse:
        return PlainTextResponse("This tool intentionally returns an error for testing", 500)

    for name in ("test_logging_tool", "test_streaming_elicitation"):
        app.add_api_route(f"/{name}", text, operation_id=name, summary="A text")
    return app


async def _run(url: str, version: str) -> Sequence[Check]:
    """The checks of the scenarios that the suite requires of a version. Raises `RuntimeError`."""
    suite = SUITE / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    with tempfile.TemporaryDirectory() as folder:
        command = (SUITE / ".bin" / "bun", suite, "server", "--url", url, "--requirements", version, "-o", folder)
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise RuntimeError(f"the suite did not end within {LIMIT_S} s") from None
        if results := _results(version, Path(folder)):
            return results
        raise RuntimeError(f"the suite wrote no results: {output.decode()[-2_000:]}")


def _results(version: str, folder: Path) -> Sequence[Check]:
    return [check for path in sorted(folder.glob("server-*/checks.json")) for check in _checks(version, path)]


def _checks(version: str, path: Path) -> Iterator[Check]:
    """The checks of one scenario, whose folder is `server-SCENARIO-TIME`."""
    scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[^/]*$", "", path.parent.name)
    if scenario != INCLUDED and scenario.startswith(tuple(LEFT_OUT)):
        return
    results: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    for check in results:
        if check["status"] in ("SUCCESS", "FAILURE", "WARNING") and check["id"] not in CHECKS_LEFT_OUT:
            passed = check["status"] == "SUCCESS"
            reason = None if passed else check.get("errorMessage") or check["status"]
            yield Check(f"{version} {scenario} {check['id']}", reason)
