"""Ask role services over HTTP: who is there, and what a role writes.

A service that is away (no connection, a broken one, or an answer that says so) is asked again with growing pauses, for
a bounded time. A role changes nothing, so asking again is harmless.

    ServiceAway      it stayed away; the run ends here, and can go on later
    ServiceRefuses   it wants another token, or is no such service; asking on is no use

What a service answers for one request is read in `role_responses`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from zlib import crc32

import httpx
from pydantic import BaseModel, ValidationError

from alpha_umi.contract.roles import ModelInfo, ModelList
from alpha_umi.roles.turns import Role
from evaluation.errors import EvaluationError, ServiceAway
from evaluation.patience import AWAY_STATUS, Away, Patience, patiently, retry_after_of
from evaluation.role_responses import UNUSABLE, Answer, Told, problem_kind, read_told, reason_of

_PATHS: Final[Mapping[Role, str]] = {
    "planner": "/v1/plan",
    "caller": "/v1/call",
    "summarizer": "/v1/summarize",
    "backbone": "/v1/step",
}
_REFUSED = (401, 403, 404, 405)
_KEEP_ALIVE_S = 2.0


class ServiceRefuses(EvaluationError):
    """A service does not take requests of this kind, or not from us."""


class WantsToken(ServiceRefuses):
    """A service wants another token."""


class RoleServices:
    """The services of the roles: for each one or several base addresses, which share the trajectories."""

    def __init__(self, addresses: Mapping[Role, Sequence[str]], http: httpx.AsyncClient, patience: Patience) -> None:
        self._addresses = addresses
        self._http = http
        self._patience = patience

    async def model(self, role: Role) -> ModelInfo:
        """The model that plays a role, without waiting for a service that is away.

        Raises `ServiceAway`, and `ServiceRefuses` also where replicas have different models.
        """
        found = [await self._model(role, url) for url in self._addresses[role]]
        if any(_identity(other) != _identity(found[0]) for other in found):
            raise ServiceRefuses(
                f"the replicas of the {role} run different models", remedy="name replicas of one model, or only one"
            )
        return found[0]

    async def ask(self, role: Role, request: BaseModel, answer: type[Answer], *, near: str = "") -> Told[Answer]:
        """What a role writes, with the digest of the prompt that it is shown at first.

        Requests with the same `near` go to the same replica as long as it is there. Raises `RoleFailed`,
        `ServiceAway`, `ServiceRefuses`.
        """
        content = request.model_dump_json().encode()
        urls = _from(self._addresses[role], near)
        path = _PATHS[role]
        # Side by side: a prompt is made in no time, and the model is not kept waiting for it.
        wrote, rendered = await asyncio.gather(
            self._send(role, urls, path, content), self._send(role, urls, f"{path}/render", content)
        )
        return read_told(role, wrote, rendered, answer)

    async def _model(self, role: Role, url: str) -> ModelInfo:
        response = await self._send(role, [url], "/v1/models", away_s=0)
        try:
            models = ModelList.model_validate_json(response.content).data if response.is_success else []
        except ValidationError:
            models = []
        for model in models:
            if model.role == role:
                return model
        others = " and ".join(model.role for model in models)
        is_there = f"it is a service of the {others}" if others else "it names no model that plays a role"
        why = is_there if response.is_success else reason_of(response)
        raise ServiceRefuses(f"{_shown(url)} is no {role} service: {why}", remedy=f"name the {role}'s address")

    async def _send(
        self,
        role: Role,
        urls: Sequence[str],
        path: str,
        content: bytes | None = None,
        *,
        away_s: float | None = None,
    ) -> httpx.Response:
        """The response of a service that is there, whatever it says."""
        waits = self._patience if away_s is None else replace(self._patience, away_s=away_s)
        last = urls[0]

        async def attempt(number: int) -> httpx.Response | Away:
            nonlocal last
            last = urls[number % len(urls)]
            return await self._try(role, last, path, content)

        def stayed_away(reason: str) -> ServiceAway:
            return ServiceAway(
                f"the {role} at {_shown(last)} is away: {reason}",
                remedy="start it (`alpha-umi up`), name its address, or run the models in the command (--in-process)",
            )

        return await patiently(attempt, waits, stayed_away)

    async def _try(self, role: Role, url: str, path: str, content: bytes | None) -> httpx.Response | Away:
        method = "GET" if content is None else "POST"
        try:
            response = await self._http.request(method, url.rstrip("/") + path, content=content)
        except httpx.ReadTimeout as error:
            seconds = self._patience.answer_s
            raise ServiceAway(f"the {role} at {_shown(url)} has not answered for {seconds:g} s") from error
        except httpx.HTTPError as error:
            return Away(str(error) or type(error).__name__)
        if response.status_code in _REFUSED:
            raise _refusal(role, url, response)
        if response.status_code in AWAY_STATUS and problem_kind(response) not in UNUSABLE:
            return Away(reason_of(response), retry_after_of(response))
        return response


@contextlib.asynccontextmanager
async def role_services(
    addresses: Mapping[Role, Sequence[str]],
    *,
    token: str | None = None,
    patience: Patience | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[RoleServices]:
    """The services at these addresses; the way to them is closed at the end of the block.

    A `transport` of its own leads to services that are not reached over the network.
    """
    waits = patience or Patience()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    async with httpx.AsyncClient(
        headers=headers,
        transport=transport,
        timeout=httpx.Timeout(waits.answer_s, connect=waits.connect_s, pool=None),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
        # A proxy of the environment is for other machines.
        trust_env=False,
    ) as http:
        yield RoleServices(addresses, http, waits)


def _refusal(role: Role, url: str, response: httpx.Response) -> ServiceRefuses:
    if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return WantsToken(f"the {role} at {_shown(url)} wants another token", remedy="set ALPHA_UMI_ROLE_TOKEN")
    return ServiceRefuses(
        f"{_shown(url)} is no {role} service: {reason_of(response)}", remedy=f"name the {role}'s address"
    )


def _from(urls: Sequence[str], near: str) -> list[str]:
    """The addresses, beginning with the one for `near`."""
    first = crc32(near.encode("utf-8", "surrogatepass")) % len(urls)
    return [*urls[first:], *urls[:first]]


def _identity(model: ModelInfo) -> ModelInfo:
    """A model without the time when its service was started."""
    return model.model_copy(update={"created": 0})


def _shown(url: str) -> str:
    """An address without the password that it may hold."""
    return str(httpx.URL(url).copy_with(userinfo=b""))
