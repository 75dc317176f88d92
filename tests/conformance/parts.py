"""The parts of `make conformance`: foreign suites and clients as processes of their own, each against a system."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from conformance import kill, mcp
from conformance.system import REASONING_MODEL, System
from conformance.table import Check

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
ENVIRONMENT: Final = ROOT / ".venv-conformance" / "bin"
MODULES: Final = HERE / "node_modules"
BUN: Final = MODULES / ".bin" / "bun"
# Of one part. A client that hangs is ended then.
LIMIT_S: Final = 240

Part = Callable[[System], Awaitable[Sequence[Check]]]


class LeftOut(Exception):
    """A part cannot be run here; the message says what is missing."""


async def llm_comply_responses(system: System) -> Sequence[Check]:
    """`llm-comply`'s tests of the Responses interface."""
    return await _llm_comply(system, "open-responses")


async def llm_comply_chat(system: System) -> Sequence[Check]:
    """`llm-comply`'s tests of chat completions."""
    return await _llm_comply(system, "openai-chat")


async def openai_python(system: System) -> Sequence[Check]:
    """The official client for Python through every endpoint."""
    return _lines(await _output([ENVIRONMENT / "python", "-P", HERE / "openai_client.py"], _variables(system)))


async def openai_node(system: System) -> Sequence[Check]:
    """The official client for JavaScript through every endpoint."""
    return _lines(await _output(["node", HERE / "openai_client.mjs"], _variables(system)))


async def open_responses(system: System) -> Sequence[Check]:
    """Open Responses' own suite, from the checkout that `OPEN_RESPONSES` names: no registry has it."""
    folder = os.environ.get("OPEN_RESPONSES")
    if not folder:
        raise LeftOut("OPEN_RESPONSES=FOLDER names a checkout of openresponses/openresponses with `bun install` done")
    command: list[str | Path] = [BUN, "run", "bin/compliance-test.ts", "--json", *_flags(system)]
    return _results(await _output(command, cwd=Path(folder)))


PARTS: Final[Mapping[str, Part]] = {
    "llm-comply-responses": llm_comply_responses,
    "llm-comply-chat": llm_comply_chat,
    "openai-python": openai_python,
    "openai-node": openai_node,
    "open-responses": open_responses,
    "mcp": mcp.checks,
    "kill": kill.checks,
}


async def _llm_comply(system: System, interface: str) -> Sequence[Check]:
    command: list[str | Path] = [ENVIRONMENT / "llm-comply", "run", "--json", "--format", interface]
    return _results(await _output([*command, *_flags(replace(system, model=REASONING_MODEL))]))


def _flags(system: System) -> Sequence[str]:
    return ("--base-url", system.base_url, "--api-key", system.key, "--model", system.model)


def _results(output: str) -> Sequence[Check]:
    """The checks of a report with `results`. What a suite skips for the model's name does not count."""
    report: dict[str, Any] = json.loads(output[output.index("{") :])
    return [
        Check(result["id"], None if result["status"] == "passed" else "; ".join(result.get("errors") or ["no reason"]))
        for result in report["results"]
        if result["status"] != "skipped"
    ]


def _lines(output: str) -> Sequence[Check]:
    """The checks that a client of ours printed, one JSON object a line."""
    return [Check(**json.loads(line)) for line in output.splitlines() if line.startswith("{")]


def _variables(system: System) -> Mapping[str, str]:
    return {"OPENAI_BASE_URL": system.base_url, "OPENAI_API_KEY": system.key, "MODEL": system.model}


async def _output(
    command: Sequence[str | Path], variables: Mapping[str, str] | None = None, *, cwd: Path | None = None
) -> str:
    """The standard output of a command, which may fail as long as it prints its checks. Raises `RuntimeError`."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise RuntimeError(f"{Path(command[0]).name} did not end within {LIMIT_S} s") from None
    if b"{" not in output:
        raise RuntimeError(f"{Path(command[0]).name} printed no checks: {errors.decode()[-2_000:]}")
    return output.decode()
