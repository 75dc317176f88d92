"""No route of any service answers without its key, except the two health routes; new routes are included."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from support.orchestrator_process import free_port
from support.processes import service_process, wait_ready
from support.role_apps import application, scripted

import services
from alpha_umi.contract.problems import TYPE_PREFIX
from alpha_umi.web.guard import OPEN_PATHS
from orchestrator.app import create_app
from orchestrator.assembly import assembled
from orchestrator.settings import OrchestratorSettings

KEY = "canary-key-4c1d-9b0e57a2f681"
WRONG: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": f"Token {KEY}"},
    {"Authorization": KEY},
    {"Authorization": f"Bearer{KEY}"},
    {"X-Api-Key": KEY},
    {"Cookie": f"Authorization=Bearer {KEY}"},
]
# Every folder of `services` that can be started is a service.
SERVICES = sorted(path.parent.name for path in Path(services.__file__).parent.glob("*/__main__.py"))
# Those with one router of their own, which can be looked into here.
ROLES = [name for name in SERVICES if name in ("planner", "caller", "summarizer", "backbone")]


@asynccontextmanager
async def applications(folder: Path) -> AsyncIterator[dict[str, FastAPI]]:
    roles = {
        name: application(name, importlib.import_module(f"services.{name}").create_router, scripted(), keys=[KEY])  # type: ignore[arg-type]
        for name in ROLES
    }
    settings = OrchestratorSettings(database_url=f"sqlite:///{folder}/log.db", api_keys=(KEY,))  # type: ignore[arg-type]
    async with assembled(settings) as orchestrator:
        yield {"orchestrator": create_app(orchestrator), **roles}


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of each route. A kind of route that is not known here fails the test."""
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            # Its handshake is a request, and is refused as one.
            continue
        assert isinstance(route, Route), f"{route} is no plain route; look at how it asks for a key"
        for method in route.methods or ():
            yield method, re.sub(r"\{[^}]*\}", "x", route.path)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://localhost"
    )


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 401, response.request.url
    assert response.headers["WWW-Authenticate"] == "Bearer"
    if response.request.method != "HEAD":
        document = response.json()
        # The orchestrator speaks OpenAI's form on the paths of its clients.
        assert (response.headers["content-type"], document.get("type"), document.get("error", {}).get("code")) in (
            ("application/problem+json", TYPE_PREFIX + "unauthorized", None),
            ("application/json", None, "invalid_api_key"),
        )
        assert KEY not in response.text


async def test_every_route_of_every_service_asks_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"/healthz", "/readyz"} == OPEN_PATHS
    monkeypatch.setattr("alpha_umi.web.guard.MAX_DELAY_S", 0)
    async with applications(tmp_path) as apps:
        for name, app in apps.items():
            known = list(routes(app))
            assert len(known) >= 7, f"{name} has lost its routes"
            async with client_of(app) as client:
                for (method, path), headers in itertools.product(known, WRONG):
                    if path not in OPEN_PATHS:
                        assert_refused(await client.request(method, path, headers=headers))
                for method, path in known:
                    allowed = await client.request(method, path, headers={"Authorization": f"Bearer {KEY}"})
                    assert allowed.status_code != 401, (name, method, path)
                for path in OPEN_PATHS:
                    assert (await client.get(path)).status_code != 401


async def test_nothing_that_is_added_later_is_open(tmp_path: Path) -> None:
    async def secret(_: Any) -> PlainTextResponse:
        return PlainTextResponse("open")

    async with applications(tmp_path) as apps:
        for app in apps.values():
            app.add_route("/v1/added", secret)
            app.mount("/mounted", FastAPI())
            app.router.routes.append(Mount("/by-hand", routes=[Route("/x", secret)]))
            async with client_of(app) as client:
                for path in ("/v1/added", "/mounted/docs", "/by-hand/x", "/no/such/path"):
                    assert_refused(await client.get(path))
                allowed = await client.get("/by-hand/x", headers={"Authorization": f"Bearer {KEY}"})
                assert allowed.text == "open"


TRICKS = [
    "GET //v1/models HTTP/1.1\r\nHost: x",
    "GET /healthz/../v1/models HTTP/1.1\r\nHost: x",
    "GET /healthz/%2e%2e/v1/models HTTP/1.1\r\nHost: x",
    "GET /healthz%2f..%2fv1/models HTTP/1.1\r\nHost: x",
    "GET /readyz/ HTTP/1.1\r\nHost: x",
    "GET //healthz HTTP/1.1\r\nHost: x",
    "GET /./healthz HTTP/1.1\r\nHost: x",
    "GET /v1/models;/healthz HTTP/1.1\r\nHost: x",
    "GET /v1/models?/healthz HTTP/1.1\r\nHost: x",
    "GET /v1/models#/healthz HTTP/1.1\r\nHost: x",
    "GET /v1/models/ HTTP/1.1\r\nHost: x",
    "GET /%76%31/models HTTP/1.1\r\nHost: x",
    "GET /V1/MODELS HTTP/1.1\r\nHost: x",
    "GET /v1/models HTTP/1.1\r\nHost: x/healthz",
    "GET /v1/models HTTP/1.1\r\nHost: localhost/healthz?",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Forwarded-Prefix: /healthz\r\nX-Script-Name: /healthz",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1",
    "GET http://x/healthz/../v1/models HTTP/1.1\r\nHost: healthz",
    "GET http://healthz/v1/models HTTP/1.1\r\nHost: x",
    "OPTIONS * HTTP/1.1\r\nHost: x",
    "OPTIONS /v1/models HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nAccess-Control-Request-Method: GET",
    "HEAD /v1/models HTTP/1.1\r\nHost: x",
    "POST /v1/models HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0",
    "GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer " + KEY,
    f"GET /v1/models?key={KEY}&access_token={KEY} HTTP/1.1\r\nHost: x",
    "GET /v1/models HTTP/1.0",
    "GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
]


async def status_of(address: httpx.URL, head: str) -> str:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer.split(" ")[1]


@pytest.mark.parametrize("service", [*SERVICES, "orchestrator"])
async def test_every_process_refuses_tricks_with_host_and_path(service: str, tmp_path: Path) -> None:
    port = free_port()
    own = {"ALPHA_UMI_PORT": str(port), "ALPHA_UMI_API_KEYS": KEY}
    role = {"ALPHA_UMI_ROLE_PORT": str(port), "ALPHA_UMI_ROLE_TOKEN": KEY, "ALPHA_UMI_ROLE_ENGINE": "scripted"}
    environment = own | role | {"ALPHA_UMI_DATABASE_URL": f"sqlite:///{tmp_path}/log.db"}
    address = httpx.URL(f"http://127.0.0.1:{port}")
    module = service if service == "orchestrator" else f"services.{service}"
    with service_process(module, environment) as process:
        await asyncio.to_thread(_wait, str(address), process)
        statuses = {head: await status_of(address, head) for head in TRICKS}
        async with httpx.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {KEY}"}) as client:
            document = (await client.get("/openapi.json")).json()
        async with httpx.AsyncClient(base_url=address) as stranger:
            for path in set(document["paths"]) - OPEN_PATHS:
                for method in document["paths"][path]:
                    assert_refused(await stranger.request(method.upper(), path))
    assert {head: status for head, status in statuses.items() if status != "401"} == {}
    assert len(document["paths"]) >= 5


def _wait(address: str, process: Any) -> None:
    if "orchestrator" in process.args[-1]:
        # It is ready only with its roles, which are not there.
        _wait_until_alive(address)
    else:
        wait_ready(address, process, seconds=60)


def _wait_until_alive(address: str) -> None:
    while True:
        try:
            httpx.get(f"{address}/healthz", timeout=2).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
            continue
        return
