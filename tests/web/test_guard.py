"""The guard of every service: the id of the key, and no access without a key."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request, WebSocket
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from structlog.testing import capture_logs

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.application import Readiness, create_application
from alpha_umi.web.guard import FREE_REFUSALS, MAX_ADDRESSES, MAX_DELAY_S, Refusals
from alpha_umi.web.key_file import Grant, create_key
from alpha_umi.web.keys import ALL_SCOPES, Keyring

_log = telemetry.logger(__name__)


async def ready() -> dict[str, Any]:
    return {}


def application(keys: Keyring, ready: Readiness = ready) -> FastAPI:
    router = APIRouter()

    @router.get("/v1/whose")
    async def whose(request: Request) -> dict[str, str]:
        _log.info("handled")
        return {"key_id": request.state.principal.key_id}

    @router.websocket("/v1/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    return create_application(title="test", routers=[router], readiness=ready, registry=CollectorRegistry(), keys=keys)


async def test_one_owner_has_half_of_the_connections(tmp_path: Path) -> None:
    ann, bob = create_key(tmp_path / "keys"), create_key(tmp_path / "keys")
    router, released = APIRouter(), asyncio.Event()

    @router.get("/v1/wait")
    async def wait() -> None:
        await released.wait()

    @router.get("/v1/now")
    async def now() -> None:
        return None

    app = create_application(
        title="test",
        routers=[router],
        readiness=ready,
        registry=CollectorRegistry(),
        keys=Keyring((), tmp_path / "keys"),
        max_connections=6,
    )
    async with client_of(app) as client:
        waiting = [asyncio.create_task(client.get("/v1/wait", headers=bearer(ann.text))) for _ in range(3)]
        await asyncio.sleep(0)
        while (refused := await client.get("/v1/now", headers=bearer(ann.text))).status_code != 429:
            await asyncio.sleep(0.01)
        assert (refused.json()["reason"], "Retry-After" in refused.headers) == ("connections", True)
        assert (await client.get("/v1/now", headers=bearer(bob.text))).status_code == 200
        assert (await client.get("/readyz", headers=bearer(ann.text))).status_code == 200
        released.set()
        assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}
        assert (await client.get("/v1/now", headers=bearer(ann.text))).status_code == 200


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_request_carries_the_id_of_its_key(tmp_path: Path) -> None:
    one, two = create_key(tmp_path / "keys"), create_key(tmp_path / "keys")
    async with client_of(application(Keyring((), tmp_path / "keys"))) as client:
        for made in (one, two):
            assert (await client.get("/v1/whose", headers=bearer(made.text))).json() == {"key_id": made.entry.id}
    async with client_of(application(Keyring())) as client:
        assert (await client.get("/v1/whose", headers=bearer(one.text))).json() == {"key_id": "anonymous"}


async def test_the_id_is_on_the_log_lines_of_the_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = create_key(tmp_path / "keys")
    telemetry.configure_logs(service="test")
    try:
        async with client_of(application(Keyring((), tmp_path / "keys"))) as client:
            await client.get("/v1/whose", headers=bearer(made.text))
            _log.info("after")
        written = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    lines = {line["event"]: line for line in map(json.loads, written.splitlines())}
    assert lines["handled"]["key_id"] == made.entry.id
    assert "key_id" not in lines["after"]
    assert made.text not in written


async def test_a_refusal_is_logged_with_no_more_than_an_id(tmp_path: Path) -> None:
    made = create_key(tmp_path / "keys")
    revoked = create_key(tmp_path / "others")
    async with client_of(application(Keyring((), tmp_path / "keys"))) as client:
        with capture_logs() as logs:
            for shown in (revoked.text, "a-password-gone-astray", made.text + "0"):
                assert (await client.get("/v1/whose", headers=bearer(shown))).status_code == 401
    refusals = [line for line in logs if line["event"] == "request.unauthorized"]
    assert [line["presented_id"] for line in refusals] == [revoked.entry.id, None, None]
    assert "password" not in str(logs)
    assert made.entry.id not in str(logs)


async def test_an_unknown_sender_has_no_body_read() -> None:
    read: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        for number in range(3):
            read.append(number)
            yield b"x"

    async with client_of(application(Keyring(["key"]))) as client:
        assert (await client.post("/v1/whose", content=body())).status_code == 401
    assert read == []


def test_refusals_of_an_address_are_slowed_more_and_more_and_forgotten() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    delays = [refusals.delay("192.0.2.1") for _ in range(300)]
    assert delays[:FREE_REFUSALS] == [0] * FREE_REFUSALS
    assert all(before <= after for before, after in pairwise(delays))
    assert (0 < delays[FREE_REFUSALS] < 0.1, delays[-1]) == (True, MAX_DELAY_S)
    assert refusals.delay("192.0.2.2") == 0, "others are not slowed"
    now[0] += 3_600
    assert refusals.delay("192.0.2.1") == 0
    for _ in range(300):
        refusals.delay("2001:db8::1")
    assert refusals.delay("2001:db8::2") == MAX_DELAY_S, "a client has its network's addresses"
    for number in range(2 * MAX_ADDRESSES):
        refusals.delay(f"host-{number}")
    assert len(refusals._counts) == MAX_ADDRESSES


async def test_refusals_are_counted_by_reason_and_valid_keys_are_not_slowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = create_key(tmp_path / "keys", grant=Grant(scopes=ALL_SCOPES))
    over = create_key(tmp_path / "keys", grant=Grant(expires=date(2020, 1, 1)))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("alpha_umi.web.guard.asyncio.sleep", sleep)
    async with client_of(application(Keyring((), tmp_path / "keys"))) as client:
        with capture_logs() as logs:
            for path, headers in (
                ("/v1/whose", {}),
                ("/v1/whose", bearer("x")),
                ("/v1/whose", bearer(over.text)),
                ("/readyz", bearer("x")),
                ("/readyz", {}),
            ):
                status = (await client.get(path, headers=headers)).status_code
                assert status == (200 if path == "/readyz" else 401)
        for _ in range(50):
            assert (await client.get("/v1/whose", headers=bearer(good.text))).status_code == 200
        metrics = (await client.get("/metrics", headers=bearer(good.text))).text
    refusals = [line for line in logs if line["event"] == "request.unauthorized"]
    assert [line["reason"] for line in refusals] == ["missing", "unknown", "expired", "unknown"]
    assert refusals[2]["presented_id"] == over.entry.id
    assert len(slept) == 4
    assert 'alpha_umi_http_unauthorized_total{reason="unknown"} 2.0' in metrics


async def test_readiness_shows_strangers_nothing_and_addresses_to_operators_alone(tmp_path: Path) -> None:
    operator = create_key(tmp_path / "keys", grant=Grant(scopes=ALL_SCOPES))
    user = create_key(tmp_path / "keys")
    details = {"roles": {"planner": "ready"}, "replicas": {"planner": {"10.0.0.7:8001": {}}}}
    faults: list[str] = []

    async def ready() -> dict[str, Any]:
        if faults:
            raise ServiceError("role-unavailable", faults[0], extra=details)
        return details

    async def seen(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
        document: dict[str, Any] = (await client.get("/readyz", headers=headers)).json()
        return {name: document[name] for name in ("roles", "replicas") if name in document}

    for _ in range(2):
        async with client_of(application(Keyring((), tmp_path / "keys"), ready)) as client:
            assert await seen(client, bearer(operator.text)) == details
            assert await seen(client, bearer(user.text)) == {"roles": {"planner": "ready"}}
            assert await seen(client, {}) == await seen(client, bearer("wrong")) == {}
            assert "10.0.0.7" not in (await client.get("/readyz")).text
        async with client_of(application(Keyring(), ready)) as client:
            assert await seen(client, {}) == details
            assert await seen(client, {"Host": "rebound.example"}) == {}
        faults.append("the planner at 10.0.0.7 is away")


def test_a_web_socket_needs_a_key_too() -> None:
    client = TestClient(application(Keyring(["key"])))
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)), client.websocket_connect("/v1/socket"):
        pass
    with client.websocket_connect("/v1/socket", headers=bearer("key")) as open_socket:
        assert open_socket.receive()["type"] == "websocket.close"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("127.8.0.1", 200),
        ("[::1]:8000", 200),
        ("rebound.example", 421),
        ("rebound.example:8000", 421),
        ("127.0.0.1.rebound.example", 421),
        ("localhost@rebound.example", 421),
        ("192.168.0.7", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
async def test_without_keys_only_this_machines_names_are_answered(host: str, status: int) -> None:
    headers = {"Host": host}
    async with client_of(application(Keyring())) as client:
        answer = await client.get("/v1/whose", headers=headers)
        assert answer.status_code == status
        if status == 421:
            assert answer.json()["errors"][0]["field"] == "Host"
        assert (await client.get("/readyz", headers=headers)).status_code == 200
    async with client_of(application(Keyring(["key"]))) as client:
        assert (await client.get("/v1/whose", headers=headers | bearer("key"))).status_code == 200
