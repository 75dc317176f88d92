"""One log line and one count for every request, by route; text from clients appears in neither."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs
from support.exposition import Exposition

from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.application import create_application
from alpha_umi.web.request_id import log_ids_from_headers

SECRET = "hunter2"


async def ready() -> dict[str, Any]:
    return {}


def application(registry: CollectorRegistry, **options: Any) -> FastAPI:
    router = APIRouter()

    @router.get("/things/{name}")
    async def thing(name: str, request: Request) -> dict[str, str]:
        if name == "missing":
            raise ServiceError("not-found", "no such thing")
        if name == "broken":
            raise RuntimeError("a defect")
        request.state.trajectory_id = "traj_1"
        return {"name": name}

    return create_application(title="test", routers=[router], registry=registry, **{"readiness": ready, **options})


async def after(*requests: tuple[str, str], **options: Any) -> tuple[list[dict[str, Any]], Exposition]:
    """Access lines and metrics after requests of (method, path)."""
    registry = CollectorRegistry()
    transport = httpx.ASGITransport(application(registry, **options), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with capture_logs() as logs:
            for method, path in requests:
                await client.request(method, path)
    lines = [line for line in logs if line["event"] == "request"]
    return lines, Exposition(generate_latest(registry).decode())


async def test_a_request_has_one_line_and_one_count() -> None:
    lines, metrics = await after(("GET", f"/things/{SECRET}?key={SECRET}"))
    (line,) = lines
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request", "log_level": "info", "method": "GET", "route": "/things/{name}", "status": 200,
        "trajectory_id": "traj_1",
    }  # fmt: skip
    assert metrics.value("alpha_umi_http_requests_total", method="GET", route="/things/{name}", status="200") == 1
    assert metrics.value("alpha_umi_http_request_duration_seconds_count", route="/things/{name}") == 1
    assert not any(SECRET in value for value in metrics.label_values())


@pytest.mark.parametrize(
    ("request_line", "route", "status", "problem"),
    [
        (("GET", "/things/missing"), "/things/{name}", 404, "not-found"),
        (("GET", "/things/broken"), "/things/{name}", 500, None),
        (("GET", "/nowhere/hunter2"), "none", 404, "not-found"),
        (("HUNTER2", "/things/a"), "/things/{name}", 405, "method-not-allowed"),
    ],
)
async def test_failures_are_counted_by_route(
    request_line: tuple[str, str], route: str, status: int, problem: str | None
) -> None:
    (line,), metrics = await after(request_line)
    assert (line["route"], line["status"], line.get("problem")) == (route, status, problem)
    assert metrics.value("alpha_umi_http_requests_total", route=route, status=str(status)) == 1
    assert not any(SECRET in value.lower() for value in metrics.label_values())


async def test_a_defect_is_logged_and_answered_under_the_id_of_its_request() -> None:
    transport = httpx.ASGITransport(application(CollectorRegistry()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            response = await client.get("/things/broken", headers={"X-Request-Id": "mine"})
    assert (response.status_code, response.headers["X-Request-Id"], response.json()["request_id"]) == (
        500, "mine", "mine",
    )  # fmt: skip
    assert {(line["event"], line["request_id"]) for line in logs} == {("request", "mine"), ("request.failed", "mine")}


async def test_a_refused_key_has_a_line() -> None:
    (line,), metrics = await after(("GET", "/things/a"), keys=["key"])
    assert (line["route"], line["status"], line["problem"]) == ("none", 401, "unauthorized")
    assert metrics.value("alpha_umi_http_requests_total", status="401") == 1


async def not_ready() -> dict[str, Any]:
    raise ServiceError("engine-not-ready", "loading")


async def test_probes_are_quiet() -> None:
    lines, metrics = await after(("GET", "/healthz"), ("GET", "/readyz"), readiness=not_ready)
    assert [line["log_level"] for line in lines] == ["debug", "debug"]
    assert lines[1]["problem"] == "engine-not-ready"
    assert metrics.value("alpha_umi_http_requests_total", route="/readyz") == 1


async def test_readiness_is_logged_when_it_changes() -> None:
    answers: list[Any] = (
        [ServiceError("engine-not-ready", "loading")] * 3 + [{}] * 2 + [ServiceError("engine-dead", "x")]
    )

    async def readiness() -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, ServiceError):
            raise answer
        result: dict[str, Any] = answer
        return result

    transport = httpx.ASGITransport(application(CollectorRegistry(), readiness=readiness))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        with capture_logs() as logs:
            while answers:
                await client.get("/readyz")
    changes = [(line["ready"], line["detail"]) for line in logs if line["event"] == "readiness.changed"]
    assert changes == [(False, "loading"), (True, None), (False, "x")]


@pytest.mark.parametrize(
    ("headers", "ids"),
    [
        ({"X-Trajectory-Id": "traj_a1", "X-Step": "3"}, {"trajectory_id": "traj_a1", "step": 3}),
        ({"X-Trajectory-Id": "a b", "X-Step": "-1"}, {}),
        ({"X-Trajectory-Id": "x" * 65, "X-Step": "٣"}, {}),
        ({}, {}),
    ],
)
def test_ids_of_headers(headers: dict[str, str], ids: dict[str, object]) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    assert log_ids_from_headers({"type": "http", "headers": raw}) == ids
