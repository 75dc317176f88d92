"""The HTTP calls that the loops beside the orchestrator share.

Same transport, paths and bodies as the orchestrator's, without retries, checks or limits.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_aiohttp import AiohttpTransport

from alpha_umi.contract.roles import SUMMARIZE

MAX_CONNECTIONS = 1_000
TOOL = "shipment_status"

Json = dict[str, Any]
Turn = dict[str, str]


@dataclass(frozen=True)
class AgentCalls:
    """Calls the roles and the tool."""

    http: httpx.AsyncClient

    async def call_role(self, path: str, history: Sequence[Turn]) -> Json:
        """One role's answer."""
        body: Json = {"history": list(history)}
        if path != SUMMARIZE.path:
            body["tools"] = TOOLS
        response = await self.http.post(path, json=body)
        answer: Json = response.raise_for_status().json()
        return answer

    async def run_tool(self, arguments: Json) -> str:
        """The tool's answer."""
        response = await self.http.get(f"/tools/{TOOL}", params=arguments)
        return response.raise_for_status().text


@contextlib.asynccontextmanager
async def agent_calls(url: str) -> AsyncIterator[AgentCalls]:
    """Calls to the services at `url`."""
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS)
    transport = AiohttpTransport(limits=limits, trust_env=False)
    async with httpx.AsyncClient(base_url=url, transport=transport, timeout=120, trust_env=False) as http:
        yield AgentCalls(http)


def question(job: str) -> Turn:
    """The first turn of a job."""
    return turn("user", f"Where are the three parcels of my order, and when does the last one arrive? It is {job}")


def turn(role: str, content: str) -> Turn:
    """One turn of a history."""
    return {"role": role, "content": content}


TOOLS: list[Json] = [
    {
        "name": TOOL,
        "description": "Where a parcel of an order is, and when it arrives",
        "parameters": {
            "type": "object",
            "properties": {
                "order": {"type": "string", "description": "The order"},
                "parcel": {"type": "integer", "minimum": 0},
            },
            "required": ["order", "parcel"],
        },
    }
]
