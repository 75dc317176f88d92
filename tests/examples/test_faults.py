"""The fault mode, over real HTTP."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest
from support.serving_on_loopback import Serve

from examples.tool_api.app import create_app
from examples.tool_api.faults import Fault

TOOL = "/weekday/2027-03-14"


@pytest.mark.parametrize(("mode", "status"), [("error_4xx", 400), ("error_5xx", 500)])
async def test_errors_strike_one_path_and_pass(serve: Serve, mode: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=Fault()))) as client:
        await client.post("/_faults", json={"mode": mode, "path": "/weekday", "times": 2})
        answers = [(await client.get(path)).status_code for path in (TOOL, "/currency/JPY", TOOL, TOOL)]
    assert answers == [status, 200, status, 200]


async def test_an_answer_that_is_not_json(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=Fault(mode="not_json")))) as client:
        response = await client.get(TOOL)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Expecting property name"):
        response.json()


async def test_an_answer_that_is_too_large(serve: Serve) -> None:
    fault = Fault(mode="too_large", megabytes=3)
    async with httpx.AsyncClient(base_url=serve(create_app(faults=fault))) as client:
        response = await client.get(TOOL)
    assert len(response.json()["noise"]) == 3 * 2**20


async def test_a_connection_that_is_closed(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=Fault(mode="refuse")))) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(TOOL)
        assert (await client.get("/openapi.json")).status_code == 200


async def test_a_slow_answer_is_late_and_right(serve: Serve) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=Fault(mode="slow", seconds=0.5)))) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(TOOL, timeout=0.1)
        assert (await client.get(TOOL)).json()["weekday"] == "Sunday"


@pytest.mark.parametrize(
    ("fault", "message"),
    [({"mode": "on fire"}, "mode"), ({"mode": "slow", "path": "weekday"}, "path"), ({"tymes": 1}, "tymes")],
)
async def test_an_unknown_fault_is_refused(fault: dict[str, object], message: str) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(faults=Fault())), base_url="http://t") as it:
        response = await it.post("/_faults", json=fault)
    assert (response.status_code, message in response.json()["detail"]) == (422, True)


async def test_faults_are_switched_from_loopback_only() -> None:
    elsewhere = httpx.ASGITransport(create_app(faults=Fault()), client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://tools") as client:
        refused = await client.post("/_faults", json={"mode": "error_5xx"})
        answered = await client.get(TOOL)
    assert (refused.status_code, answered.status_code) == (403, 200)


async def test_faults_are_off_unless_allowed(client: httpx.AsyncClient) -> None:
    assert (await client.post("/_faults", json={"mode": "slow"})).status_code == 404
    assert "/_faults" not in create_app(faults=Fault()).openapi()["paths"]


def test_the_command_refuses_faults_on_an_open_address() -> None:
    command = [sys.executable, "-m", "examples.tool_api", "--host", "0.0.0.0", "--port", "0", "--faults", "slow"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--faults is for loopback only" in done.stderr
