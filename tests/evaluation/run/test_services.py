"""Role services that are unavailable, return, refuse, or run another model than requested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from support.generated_suites import calculating_roles, sums
from support.generating import LONG, addresses_of, generated, services_of
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve
from support.system import Roles

from alpha_umi.client.errors import ServiceMismatch, Unavailable
from alpha_umi.client.roles import RoleServices
from alpha_umi.serving.manifest import CanaryText, ModelManifest
from alpha_umi.serving.scripted import Rule
from evaluation.errors import RunInterrupted
from evaluation.run.steps import Task, generate, plan_task
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router


def manifest(**changes: Any) -> ModelManifest:
    canary = CanaryText(prompt="?", expected="!")
    fields = {"name": "p", "role": "planner", "template": "toolbench", "context": 4_096, "base": "b", "source": "s"}
    return ModelManifest(canary=canary, **{**fields, **changes})


@pytest.mark.parametrize(("listed", "verdict"), [(1, "listed"), (0, "clean")])
async def test_a_manifest_says_what_was_trained_on(serve: Serve, tmp_path: Path, listed: int, verdict: str) -> None:
    suite = sums(tmp_path, 3)
    trained_on = (*sorted(suite.digests)[:listed], "f" * 64)
    roles = calculating_roles(serve)
    roles.planner = serve(
        application("planner", planner_router, scripted(Rule(["No."])), manifest=manifest(trained_on=trained_on))
    )
    async with services_of(roles) as services:
        task: Task = await plan_task(services, suite, constrained=True)
    assert (task.findings["planner"].verdict, task.findings["planner"].instructions) == (verdict, listed)
    record = task.about.models["planner"]
    assert record["trained_on_suite"] == {"verdict": verdict, "instructions": listed, "total": 3}
    assert (record["manifest"]["name"], "trained_on" in record["manifest"]) == ("p", False)
    assert task.findings["caller"].verdict == "unknown"


class Flaky:
    """An application that is away for its first requests: it says so, or breaks the connection."""

    def __init__(self, app: Any, away: int, status: int | None) -> None:
        self.app, self.left, self.status = app, away, status

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == "/v1/models" or self.left == 0:
            await self.app(scope, receive, send)
            return
        self.left -= 1
        if self.status is None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
            raise ConnectionResetError
        await JSONResponse({}, self.status)(scope, receive, send)


@pytest.mark.parametrize("status", [503, 502, 429, None])
async def test_a_service_that_becomes_available_is_retried(serve: Serve, tmp_path: Path, status: int | None) -> None:
    roles = calculating_roles(serve)
    flaky = Flaky(application("planner", planner_router, scripted(Rule(["I stop. Next: give up."]))), 3, status)
    roles.planner = serve(flaky)
    done, run = await generated(roles, tmp_path, retry=LONG)
    assert (done.errors, flaky.left) == ({}, 0)
    assert {prediction.parsed.decision for prediction in run.predictions} == {"give up"}


async def test_an_unavailable_service_ends_the_run_and_the_file_can_be_resumed(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    good = roles.summarizer
    roles.summarizer = serve(Flaky(application("summarizer", summarizer_router, scripted()), 1_000_000, 503))
    message = r"the summarizer at http\S+ is unavailable: status 503; .* has 1 of 6 predictions"
    with pytest.raises(RunInterrupted, match=message) as ended:
        await generated(roles, tmp_path, concurrency=1)
    assert "it resumes" in (ended.value.remedy or "")
    roles.summarizer = good
    done, run = await generated(roles, tmp_path)
    assert (done.before, len(run.predictions)) == (1, 6)


async def test_a_replica_stands_in_for_one_that_is_away(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    gone = Flaky(application("planner", planner_router, scripted(Rule(["No. Next: give up."]))), 1_000_000, 503)
    addresses = addresses_of(roles) | {"planner": [serve(gone), roles.planner]}
    async with RoleServices(addresses, retry=LONG) as services:
        task = await plan_task(services, sums(tmp_path, 4), constrained=True)
        done = await generate(services, task, tmp_path / "run.jsonl")
    assert (done.cases, done.errors) == (8, {})
    assert gone.left < 1_000_000


async def test_an_unavailable_service_is_reported_at_once(serve: Serve, tmp_path: Path, free_port: int) -> None:
    roles = calculating_roles(serve)
    roles.caller = f"http://name:secret@127.0.0.1:{free_port}"
    async with services_of(roles, LONG) as services:
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match=r"the caller at http://127\.0\.0\.1") as refused:
                await plan_task(services, sums(tmp_path, 1), constrained=True)
    assert "secret" not in refused.value.message


async def test_an_answer_that_takes_too_long_ends_the_run(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve, delay_s=30)
    roles.planner = serve(application("planner", planner_router, scripted(Rule(["a b"], delay_s=30))))
    with pytest.raises(RunInterrupted, match=r"has not answered for 0\.2 s"):
        await generated(roles, tmp_path, answer_timeout_s=0.2)


def wrong_role(roles: Roles, serve: Serve) -> None:
    roles.caller = roles.planner


def with_token(roles: Roles, serve: Serve) -> None:
    roles.caller = serve(application("planner", planner_router, scripted(), keys=["token"]))


def something_else(roles: Roles, serve: Serve) -> None:
    roles.caller = serve(FastAPI())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_role, "is no caller service: it is a service of the planner"),
        (with_token, "does not accept the token"),
        (something_else, "is no caller service: status 404"),
    ],
)
async def test_another_service_is_refused(
    serve: Serve, tmp_path: Path, change: Callable[[Roles, Serve], None], message: str
) -> None:
    roles = calculating_roles(serve)
    change(roles, serve)
    async with services_of(roles) as services:
        with pytest.raises(ServiceMismatch, match=message):
            await plan_task(services, sums(tmp_path, 1), constrained=True)


async def test_replicas_of_different_models_are_refused(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    other = serve(application("planner", planner_router, scripted(), manifest=manifest()))
    async with RoleServices(addresses_of(roles) | {"planner": [roles.planner, other]}) as services:
        with pytest.raises(ServiceMismatch, match="replicas of the planner run different models"):
            await plan_task(services, sums(tmp_path, 1), constrained=True)
