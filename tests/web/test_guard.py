"""The guard of every service: the id of the key, and no access without a key."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
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
from alpha_umi.web.application import create_application
from alpha_umi.web.key_file import create_key
from alpha_umi.web.keys import Keyring

_log = telemetry.logger(__name__)


async def ready() -> dict[str, Any]:
    return {}


def application(keys: Keyring) -> FastAPI:
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
    assert [line["shown_id"] for line in refusals] == [revoked.entry.id, None, None]
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
