"""The system that the suites and clients run against: an orchestrator process whose role models are scripted.

The scripts answer by what a request holds, so that suites may send their requests in any order and all at once:
the planner calls a tool where the turn must, or where the user asks about weather or a price and nothing is observed
yet; the caller fills in the first tool's required arguments; the summarizer repeats the user's message, or writes
the simplest value of the schema that is wanted. A message with "slowly" is answered in pieces over seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from support.orchestrator_process import orchestrator_process
from support.orchestrator_world import surroundings
from support.scripted_roles import Reply, call, decide, say

KEY = "sk-conformance-0f4c2a9be17d5836a1c9"
MODEL = "alpha-umi"
# Suites run their tests of reasoning for some names alone.
REASONING_MODEL = "gpt-5"
CALLING = ("weather", "price")
SLOW_S = 3.0


@dataclass(frozen=True)
class System:
    """A running system: the address of `/v1`, a key, a model."""

    base_url: str
    key: str = KEY
    model: str = MODEL


@contextlib.asynccontextmanager
async def scripted_system(**settings: str) -> AsyncIterator[System]:
    """A ready orchestrator with a database of its own, scripted roles and the tool `look_up` registered."""
    with tempfile.TemporaryDirectory() as folder:
        async with surroundings(Path(folder)) as world:
            world.roles.planner, world.roles.caller, world.roles.summarizer = _plan, _call, _summarize
            with orchestrator_process(
                {**world.environment(), "api_keys": KEY, "model_aliases": f"{REASONING_MODEL}={MODEL}", **settings}
            ) as running:
                await until_ready(running.address)
                yield System(f"{running.address}/v1")


def sample(schema: Mapping[str, Any]) -> Any:
    """The simplest value of a JSON Schema."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind if isinstance(kind, str) else kind[0]:
        case "object":
            return {name: sample(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [sample(schema.get("items", {}))] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "San Francisco, CA"


def _plan(request: dict[str, Any]) -> Reply:
    allowed = request.get("decisions") or ["caller", "conclusion", "give up"]
    message, observed = _newest_turn(request)
    calls = not observed and any(word in message.lower() for word in CALLING)
    if "caller" in allowed and request["tools"] and (calls or "conclusion" not in allowed):
        return decide("A tool knows this.", "caller")
    thought = "It is clear what to answer."
    if "slowly" in message:
        return replace(decide(thought, "conclusion"), until=_timer(SLOW_S))
    return decide(thought, "give up" if message.startswith("Give up") else "conclusion")


def _call(request: dict[str, Any]) -> Reply:
    tool = request["tools"][0]
    return call(tool["name"], **sample({"type": "object", **tool["parameters"]}))


def _summarize(request: dict[str, Any]) -> Reply:
    if request.get("answer_schema"):
        return say(json.dumps(sample(request["answer_schema"])))
    return say(f"You wrote: {_newest_turn(request)[0]}"[:2_000])


def _newest_turn(request: dict[str, Any]) -> tuple[str, bool]:
    """The last paragraph of the user's newest message, and whether a tool's result follows it.

    Instructions, and messages that no answer came between, stand before it.
    """
    observed = False
    for turn in reversed(request["history"]):
        if turn["role"] == "user":
            return turn["content"].rsplit("\n\n", 1)[-1], observed
        observed = observed or turn["role"] == "observation"
    return "", observed


def _timer(seconds: float) -> asyncio.Event:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, event.set)
    return event


async def until_ready(address: str) -> None:
    """Wait until a process can answer. Raises `TimeoutError`."""
    async with httpx.AsyncClient(base_url=address) as client, asyncio.timeout(30):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)
