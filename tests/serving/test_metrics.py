"""Metrics of a role service, read back from its exposition."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from support.exposition import Exposition, scrape
from support.role_apps import application, client_of, role_host, scripted
from support.serving_on_loopback import Serve, until

from alpha_umi.serving.assembly import MakeRouter
from alpha_umi.serving.engine import EngineStats
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

HISTORY = [{"role": "user", "content": "question"}]
PLAN = {"tools": [{"name": "t"}], "history": HISTORY}
CALL = PLAN | {"thought": "use it"}
SUMMARIZE = {"history": HISTORY}
ROUTERS: dict[str, tuple[MakeRouter, str, dict[str, Any]]] = {
    "planner": (planner_router, "/v1/plan", PLAN),
    "caller": (caller_router, "/v1/call", CALL),
    "summarizer": (summarizer_router, "/v1/summarize", SUMMARIZE),
}


async def metrics_after(
    role: Any, engine: ScriptedEngine, *bodies: dict[str, Any], answer_tokens: int = 64
) -> Exposition:
    """The metrics of a role's service after these requests."""
    router, path, usual = ROUTERS[role]
    async with client_of(application(role, router, engine, answer_tokens=answer_tokens)) as client:
        for body in bodies:
            await client.post(path, json=usual | body)
        return await scrape(client)


async def test_an_answer_is_counted_once_with_its_tokens_and_times() -> None:
    metrics = await metrics_after("summarizer", scripted(Rule(["It is four."])), {}, {"stream": True})
    assert metrics.value("alpha_umi_role_requests_total", role="summarizer", outcome="ok") == 2
    assert metrics.value("alpha_umi_role_tokens_total", kind="completion") == 2 * 3
    assert metrics.value("alpha_umi_role_tokens_total", kind="prompt") > 0
    for histogram in ("request_duration", "time_to_first_token"):
        assert metrics.value(f"alpha_umi_role_{histogram}_seconds_count", role="summarizer") == 2
    assert metrics.value("alpha_umi_role_requests_in_flight") == 0
    assert metrics.value("alpha_umi_http_requests_total", route="/v1/summarize", method="POST", status="200") == 2


@pytest.mark.parametrize(
    ("rules", "body", "way", "extra"),
    [
        ([Rule(["Go on. Next: caller."])], {}, "free", None),
        ([Rule([" caller."], when="Next:"), Rule(["I wonder."])], {}, "constrained", "constrained"),
        ([Rule(["I wonder.", "Go on. Next: caller."])], {"constrained": False}, "retry", "retry"),
    ],
)
async def test_decisions_by_the_way_they_came(
    rules: list[Rule], body: dict[str, Any], way: str, extra: str | None
) -> None:
    metrics = await metrics_after("planner", scripted(*rules), body)
    assert metrics.value("alpha_umi_role_decisions_total", role="planner", next="caller", way=way) == 1
    assert metrics.value("alpha_umi_role_extra_generations_total") == (extra is not None)
    if extra is not None:
        assert metrics.value("alpha_umi_role_extra_generations_total", role="planner", kind=extra) == 1


async def test_a_repair_and_a_call_that_stays_unusable() -> None:
    engine = scripted(Rule(["nonsense"]))
    metrics = await metrics_after("caller", engine, {"constrained": False})
    assert metrics.value("alpha_umi_role_extra_generations_total", role="caller", kind="repair") == 1
    assert metrics.value("alpha_umi_role_requests_total", role="caller", outcome="call-invalid") == 1
    assert metrics.value("alpha_umi_role_tokens_total", kind="completion") == 2


async def test_an_empty_answer_is_written_again_and_then_an_error() -> None:
    metrics = await metrics_after("summarizer", scripted(Rule([""])), {})
    assert metrics.value("alpha_umi_role_extra_generations_total", role="summarizer", kind="retry") == 1
    assert metrics.value("alpha_umi_role_requests_total", outcome="output-unreadable") == 1


async def test_a_shortened_history_is_counted() -> None:
    long = [{"role": "user", "content": "q"}, {"role": "observation", "content": "word " * 400}]
    metrics = await metrics_after("summarizer", scripted(Rule(["It is."]), context=300), {"history": [*long, *HISTORY]})
    assert metrics.value("alpha_umi_role_shortened_histories_total", role="summarizer") == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_is_counted_as_such(serve: Serve, stream: bool) -> None:
    engine = scripted(Rule(["never ending " * 300], delay_s=0.02))
    address = serve(application("summarizer", summarizer_router, engine, answer_tokens=2_000))
    async with httpx.AsyncClient(base_url=address) as client:
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        leaving = asyncio.create_task(client.post("/v1/summarize", json=SUMMARIZE | {"stream": stream}))
        await until(lambda: engine.running == 1)
        during = await scrape(client)
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
        await until(lambda: engine.aborted == 1)
        after = await scrape(client)
    assert during.value("alpha_umi_role_requests_in_flight", role="summarizer") == 1
    assert during.value("alpha_umi_engine_requests_running") == 1
    assert after.value("alpha_umi_role_requests_in_flight") == after.value("alpha_umi_engine_requests_running") == 0
    assert after.value("alpha_umi_role_requests_total", outcome="client-left") == 1


async def test_a_dead_engine_is_an_outcome_and_not_ready() -> None:
    engine = scripted(Rule(["never ending " * 100], delay_s=0.01))
    async with client_of(application("planner", planner_router, engine)) as client:
        assert (await scrape(client)).value("alpha_umi_role_ready", role="planner") == 1
        engine.dead = True
        await client.post("/v1/plan", json=PLAN)
        metrics = await scrape(client)
    assert metrics.value("alpha_umi_role_requests_total", outcome="engine-dead") == 1
    assert metrics.value("alpha_umi_role_ready", role="planner") == 0


class Busy(ScriptedEngine):
    """An engine with statistics."""

    def stats(self) -> EngineStats:
        return EngineStats(
            running=3, waiting=2, kv_cache_usage=0.25,
            queried_tokens=100, hit_tokens=90, proposed_tokens=40, accepted_tokens=30,
        )  # fmt: skip


class Silent(ScriptedEngine):
    """An engine without statistics."""

    def stats(self) -> None:  # type: ignore[override]
        return None


def test_several_roles_share_a_registry_and_show_their_engine_once() -> None:
    metrics = RoleMetrics("planner")
    for role in ("planner", "caller", "summarizer"):
        own = metrics.of_role(role)
        own.watch(role_host(role, Busy([])))
        own.count_extra("retry")
    result = Exposition(_text(metrics))
    assert result.value("alpha_umi_role_extra_generations_total") == 3
    assert result.value("alpha_umi_role_extra_generations_total", role="caller") == 1
    assert result.value("alpha_umi_engine_requests_running") == 3
    assert result.value("alpha_umi_engine_requests_waiting") == 2
    assert result.value("alpha_umi_engine_kv_cache_usage_ratio") == 0.25
    assert result.value("alpha_umi_engine_prefix_cache_queried_tokens_total") == 100
    assert result.value("alpha_umi_engine_prefix_cache_hit_tokens_total") == 90
    assert result.value("alpha_umi_engine_speculation_proposed_tokens_total") == 40
    assert result.value("alpha_umi_engine_speculation_accepted_tokens_total") == 30
    assert {"planner", "caller", "summarizer"} <= result.label_values()


def test_an_engine_that_does_not_know_its_numbers_shows_none() -> None:
    metrics = RoleMetrics("planner")
    metrics.watch(role_host("planner", Silent([])))
    assert "alpha_umi_engine" not in _text(metrics)


def _text(metrics: RoleMetrics) -> str:
    from prometheus_client import generate_latest

    return generate_latest(metrics.registry).decode()
