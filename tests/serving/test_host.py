"""Readiness, engine death and disconnected clients, on a scripted engine over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
import structlog
from structlog.testing import capture_logs
from support.role_apps import application, client_of, role_host, scripted
from support.serving_on_loopback import Serve, until

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

HISTORY = [{"role": "user", "content": "question"}]
PLAN = {"tools": [{"name": "t"}], "history": HISTORY}


async def test_not_ready_until_the_canary_is_right() -> None:
    engine = ScriptedEngine([Rule(["The capital of France is London."])])
    app = application("planner", planner_router, engine)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        await until(lambda: bool(engine.prompts))
        await asyncio.sleep(0.05)
        ready, plan = await client.get("/readyz"), await client.post("/v1/plan", json=PLAN)
        assert (await client.get("/healthz")).status_code == 200
    for response in (ready, plan):
        assert response.status_code == 503
        assert response.json()["type"] == "urn:alpha-umi:problem:engine-not-ready"
        assert "London" in response.json()["detail"]
        assert response.headers["Retry-After"] == "5"


async def test_waiting_ends_with_the_canary() -> None:
    right, wrong = (
        role_host("planner", scripted()),
        role_host("planner", scripted(), canary=("What is the capital of France?", "London")),
    )
    async with right.running(), wrong.running():
        await right.wait_ready()
        with pytest.raises(ServiceError, match="the canary wrote"):
            await wrong.wait_ready()


async def test_early_requests_are_not_stored() -> None:
    host = role_host("planner", ScriptedEngine([]))
    refused = []
    for _ in range(3):
        with pytest.raises(ServiceError) as caught:
            host.require_ready()
        refused.append(caught)
    assert len({len(error.traceback) for error in refused}) == 1
    assert len({id(error.value) for error in refused}) == 3


async def test_a_dead_engine_fails_requests_at_once_and_says_so_once() -> None:
    lost: list[str] = []
    engine = scripted(Rule(["never ending " * 100], delay_s=0.02))
    app = application("planner", planner_router, engine, on_lost=lambda: lost.append("lost"))
    async with client_of(app) as client:
        waiting = asyncio.create_task(client.post("/v1/plan", json=PLAN))
        await until(lambda: len(engine.prompts) == 2)
        engine.dead = True
        for response in (await waiting, await client.post("/v1/plan", json=PLAN), await client.get("/readyz")):
            assert response.status_code == 503
            assert response.json()["type"] == "urn:alpha-umi:problem:engine-dead"
    assert lost == ["lost"]


class Broken(ScriptedEngine):
    """An engine that cannot load."""

    async def start(self) -> None:
        raise RuntimeError("no weights")


@pytest.mark.parametrize("engine", [Broken([]), ScriptedEngine([])], ids=["cannot load", "refuses the canary"])
async def test_an_engine_that_cannot_be_used_is_lost(engine: ScriptedEngine) -> None:
    lost: list[str] = []
    app = application("planner", planner_router, engine, on_lost=lambda: lost.append("lost"))
    async with app.router.lifespan_context(app):
        await until(lambda: bool(lost))


async def leave_early(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Send a request, and disconnect before the answer (or after its first bytes)."""
    with contextlib.suppress(httpx.ReadTimeout):
        async with client.stream("POST", "/v1/summarize", json=body, timeout=httpx.Timeout(5, read=0.3)) as response:
            await anext(response.aiter_bytes())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_the_generation(serve: Serve, stream: bool) -> None:
    engine = scripted(Rule(["never ending " * 300], delay_s=0.02))
    address = serve(application("summarizer", summarizer_router, engine, answer_tokens=2_000))
    async with httpx.AsyncClient(base_url=address) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        await leave_early(client, {"history": HISTORY, "stream": stream})
        await until(lambda: engine.aborted == 1, seconds=5)
        assert (await client.get("/readyz")).status_code == 200


async def test_an_engine_that_dies_mid_stream_ends_the_stream_with_an_error(serve: Serve) -> None:
    engine = scripted(Rule(["never ending " * 300], delay_s=0.01))
    address = serve(application("summarizer", summarizer_router, engine, answer_tokens=2_000))
    seen: list[str] = []
    async with httpx.AsyncClient(base_url=address) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        async with client.stream("POST", "/v1/summarize", json={"history": HISTORY, "stream": True}) as response:
            async for line in response.aiter_lines():
                seen.append(line)
                engine.dead = len(seen) > 3
    assert "event: error" in seen
    assert "engine-dead" in seen[seen.index("event: error") + 1]
    assert "event: done" not in seen


async def test_models_metrics_and_documentation() -> None:
    engine = scripted(Rule(["Known. Next: conclusion."]))
    engine.capacity = 7
    app = application("planner", planner_router, engine)
    async with client_of(app) as client:
        await client.post("/v1/plan", json=PLAN)
        model: dict[str, Any] = (await client.get("/v1/models")).json()["data"][0]
        metrics = (await client.get("/metrics")).text
        document = (await client.get("/openapi.json")).json()
        assert (await client.get("/docs")).status_code == 200
    assert (model["id"], model["role"], model["max_model_len"]) == ("scripted", "planner", 4_096)
    assert (model["manifest"], model["capacity"]) == (None, 7)
    assert 'alpha_umi_role_decisions_total{next="conclusion",role="planner",way="free"} 1.0' in metrics
    assert {"/v1/plan", "/v1/plan/render", "/v1/models", "/healthz", "/readyz", "/metrics"} <= set(document["paths"])


async def test_every_route_but_health_asks_for_the_token() -> None:
    app = application("planner", planner_router, scripted(), keys=["role-token"])
    async with client_of(app) as client:
        for route in app.routes:
            for method in getattr(route, "methods", None) or ():
                response = await client.request(method, route.path)  # type: ignore[attr-defined]
                open_route = route.path in ("/healthz", "/readyz")  # type: ignore[attr-defined]
                assert (response.status_code == 200) if open_route else (response.status_code == 401), route
        allowed = await client.get("/v1/models", headers={"Authorization": "Bearer role-token"})
        refused = await client.get("/v1/models", headers={"Authorization": "Bearer role-tokem"})
    assert (allowed.status_code, refused.status_code) == (200, 401)
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert "role-token" not in refused.text


async def test_lines_of_a_role_request_name_its_trajectory_and_step() -> None:
    app = application("planner", planner_router, scripted(Rule(["never ending " * 100], delay_s=0.001)))
    ids = {"X-Trajectory-Id": "traj_1", "X-Step": "2", "X-Request-Id": "traj_1-2"}
    async with client_of(app) as client:
        with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
            await client.post("/v1/plan", json=PLAN | {"constrained": False}, headers=ids)
    (line,) = logs
    assert (line["event"], line["route"], line["status"], line["problem"]) == (
        "request", "/v1/plan", 502, "output-unreadable",
    )  # fmt: skip
    assert (line["trajectory_id"], line["step"], line["request_id"]) == ("traj_1", 2, "traj_1-2")
