"""Several roles on one engine: start and stop, adapters, readiness of all roles, one set of metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI
from support.role_apps import role_host
from support.serving_on_loopback import until

from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_shared_application
from alpha_umi.serving.assembly import MakeRouter, RoleContext
from alpha_umi.serving.engine import EngineRefused, Generation
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine
from alpha_umi.serving.shared import SharedEngine
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

ROUTERS: dict[Role, MakeRouter] = {
    "planner": planner_router,
    "caller": caller_router,
    "summarizer": summarizer_router,
}
HISTORY = [{"role": "user", "content": "question"}]
PLAN = {"tools": [{"name": "t"}], "history": HISTORY}


@dataclass
class Watched(ScriptedEngine):
    """Counts its starts and stops. Loading takes until `loaded` is set; `faults` are the errors of the first starts."""

    starts: int = 0
    stops: int = 0
    faults: list[Exception] = field(default_factory=list)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self.starts += 1
        await self.loaded.wait()
        if self.faults:
            raise self.faults.pop()

    async def stop(self) -> None:
        self.stops += 1


def watched(*rules: Rule) -> Watched:
    engine = Watched([*rules, Rule([CANARY], when="capital of France")], adapters=tuple(ROUTERS))
    engine.loaded.set()
    return engine


def shared_application(engine: ScriptedEngine) -> FastAPI:
    shared, metrics = SharedEngine(engine), RoleMetrics("shared")
    return create_shared_application(
        [
            (RoleContext(role_host(role, shared.bind_adapter(role)), metrics.of_role(role), 64), make_router)
            for role, make_router in ROUTERS.items()
        ]
    )


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def test_it_is_started_once_and_stopped_after_the_last_view() -> None:
    engine = watched()
    engine.loaded.clear()
    shared = SharedEngine(engine)
    first, second = shared.bind_adapter("planner"), shared.bind_adapter("caller")
    starting = [asyncio.create_task(view.start()) for view in (first, second)]
    await until(lambda: engine.starts > 0)
    starting[0].cancel()
    engine.loaded.set()
    await starting[1]
    await first.stop()
    assert (engine.starts, engine.stops) == (1, 0), "the other view still uses it"
    await second.stop()
    assert (engine.starts, engine.stops) == (1, 1)


async def test_a_start_that_failed_is_tried_again() -> None:
    engine = watched()
    engine.faults.append(RuntimeError("no weights yet"))
    view = SharedEngine(engine).bind_adapter("planner")
    with pytest.raises(RuntimeError, match="no weights yet"):
        await view.start()
    await view.start()
    assert engine.starts == 2


async def test_stopping_while_it_loads_ends_the_loading() -> None:
    engine = watched()
    engine.loaded.clear()
    view = SharedEngine(engine).bind_adapter("planner")
    starting = asyncio.create_task(view.start())
    await until(lambda: engine.starts > 0)
    await view.stop()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert engine.stops == 1


async def test_each_view_writes_with_its_adapter() -> None:
    engine = watched(Rule(["one"], adapter="planner"), Rule(["two"], adapter="caller"))
    shared = SharedEngine(engine)
    for adapter, text in (("planner", "one"), ("caller", "two")):
        chunks = shared.bind_adapter(adapter).generate(Generation("x", 4), request_id="r")
        assert [chunk.text async for chunk in chunks] == [text]


async def test_all_roles_answer_once_every_canary_has_passed() -> None:
    app = shared_application(watched(Rule(["Known. Next: conclusion."], when="question", adapter="planner")))
    async with app.router.lifespan_context(app), client_of(app) as client:
        await until_ready(client)
        assert (await client.post("/v1/plan", json=PLAN)).json()["next"] == "conclusion"
        models = (await client.get("/v1/models")).json()["data"]
        ready = (await client.get("/readyz")).json()["models"]
        metrics = (await client.get("/metrics")).text
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert [model["role"] for model in models] == [model["role"] for model in ready] == list(ROUTERS)
    assert 'alpha_umi_role_decisions_total{next="conclusion",role="planner",way="free"} 1.0' in metrics
    assert {path + end for path in ("/v1/plan", "/v1/call", "/v1/summarize") for end in ("", "/render")} <= set(paths)


async def test_one_wrong_adapter_keeps_the_service_from_being_ready() -> None:
    app = shared_application(watched(Rule(["The capital of France is London."], adapter="caller")))
    async with app.router.lifespan_context(app), client_of(app) as client:
        async with asyncio.timeout(5):
            while "London" not in (response := await client.get("/readyz")).text:
                await asyncio.sleep(0.01)
    assert response.status_code == 503
    assert response.json()["detail"].startswith("caller: the canary wrote")


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(5):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("adapter", "message"), [(None, "names no adapter"), ("poet", "no adapter 'poet'; this engine has caller, planner")]
)
async def test_an_engine_with_adapters_refuses_a_generation_without_or_with_another(
    adapter: str | None, message: str
) -> None:
    with pytest.raises(EngineRefused, match=message):
        await anext(aiter(watched().generate(Generation("x", 4, adapter=adapter), request_id="r")))


async def test_views_without_adapters_write_with_the_model_itself() -> None:
    engine = ScriptedEngine([Rule(["one"], adapter=None)])
    shared = SharedEngine(engine)
    views = [shared.view("planner"), shared.view("caller")]
    for view in views:
        assert [chunk.text async for chunk in view.generate(Generation("x", 4), request_id="r")] == ["one"]
    assert [view.adapter for view in views] == [None, None]
