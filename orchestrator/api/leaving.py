"""Notice that a client has left while its request is worked on."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from fastapi import Request

from orchestrator.racing import race

CLIENT_LEFT = 499


async def client_stays(request: Request, until: Coroutine[Any, Any, Any]) -> bool:
    """Wait for `until`; False if the client left before. Only for requests whose body was read."""
    return not (await race(until, _leaves(request))).cancelled()


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
