"""Predictions from real role applications over HTTP; only the language models are scripted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from generated_suites import calculating_roles, sums
from role_apps import application, scripted
from serving_on_loopback import Serve
from system import Roles, call, serve_roles

from alpha_umi.roles.turns import RoleName
from alpha_umi.serving.manifest import CanaryText, ModelManifest
from alpha_umi.serving.scripted import Rule
from evaluation.errors import EmptySuite, ServiceAway
from evaluation.generate import Generated, Task, generate, plan_task
from evaluation.growing_lines import OtherRun
from evaluation.predicting import Strategy
from evaluation.records import PredictionRecord
from evaluation.role_services import Patience, RoleServices, ServiceRefuses, role_services
from evaluation.run_file import Run, read_run
from evaluation.score import score
from services.backbone.api import create_router as backbone_router
from services.planner.api import create_router as planner_router
from services.summarizer.api import create_router as summarizer_router

BRIEF = Patience(away_s=0.3, first_pause_s=0.01)
LONG = Patience(away_s=20, first_pause_s=0.01, longest_pause_s=0.05)


def addresses_of(roles: Roles) -> dict[RoleName, list[str]]:
    return {"planner": [roles.planner], "caller": [roles.caller], "summarizer": [roles.summarizer]}


@asynccontextmanager
async def asking(roles: Roles, patience: Patience = BRIEF, token: str | None = None) -> AsyncIterator[RoleServices]:
    async with role_services(addresses_of(roles), patience=patience, token=token) as services:
        yield services


async def generated(
    roles: Roles, folder: Path, *, count: int = 3, patience: Patience = BRIEF, **options: Any
) -> tuple[Generated, Run]:
    """All steps of some sums, in a file that may be there."""
    async with asking(roles, patience) as services:
        task = await plan_task(services, sums(folder, count), constrained=options.pop("constrained", True))
        done = await generate(services, task, folder / "run.jsonl", **options)
    return done, read_run(folder / "run.jsonl")


async def one(roles: Roles, folder: Path) -> PredictionRecord:
    """The prediction for the first step of one sum."""
    _, run = await generated(roles, folder, count=1)
    return next(prediction for prediction in run.predictions if prediction.id.endswith("/1"))


async def test_every_step_is_asked_with_the_history_that_was_recorded(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    done, run = await generated(roles, tmp_path, concurrency=4)
    assert done == Generated(6, 0, {})
    assert {prediction.id for prediction in run.predictions} == {case.id for case in run.cases}
    first = next(prediction for prediction in run.predictions if prediction.id == run.cases[0].id)
    assert [(output.role, output.text) for output in first.outputs] == [
        ("planner", "I compute it. Next: caller."),
        ("caller", call("calculator", {"expression": "1+1"})),
    ]
    assert first.parsed.call is not None
    second = next(prediction for prediction in run.predictions if prediction.id == run.cases[1].id)
    assert second.parsed.answer == "It is 2."
    # What was shown is what was recorded, with this model's own rationale behind it.
    shown = roles.engines["summarizer"].prompts[-1]
    assert "It is known now. Next: conclusion." in shown
    scores = score(run.pairs(), resamples=100)
    assert scores.missing == ()
    assert next(figure.value for figure in scores.figures if figure.metric.name == "plan_em") == 1


async def test_the_prompt_is_known_by_its_digest(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    _, run = await generated(roles, tmp_path, count=1)
    digests = {output.prompt_sha256 for prediction in run.predictions for output in prediction.outputs}
    prompts = [prompt for engine in roles.engines.values() for prompt in engine.prompts[1:]]
    assert digests == {hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts}
    output = run.predictions[0].outputs[0]
    assert (output.prompt_tokens > 0, output.completion_tokens > 0, output.attempts) == (True, True, 1)


@pytest.mark.parametrize("constrained", [True, False])
async def test_a_planner_without_a_decision(serve: Serve, tmp_path: Path, constrained: bool) -> None:
    decision = Rule([" give up."], when="Hm, I do not know. Next:")
    roles = serve_roles(serve, planner=[decision, Rule(["Hm, I do not know."])])
    _, run = await generated(roles, tmp_path, count=1, constrained=constrained)
    wrote = run.predictions[0]
    assert run.about.constrained is constrained
    assert wrote.error is None
    if constrained:
        assert (wrote.outputs[0].text, wrote.parsed.decision) == ("Hm, I do not know. Next: give up.", "give up")
    else:
        assert (wrote.outputs[0].text, wrote.parsed.decision) == ("Hm, I do not know.", None)
        assert "no decision" in (wrote.parsed.unreadable or "")
        assert (len(wrote.outputs), wrote.outputs[0].attempts) == (1, 2)
        assert wrote.outputs[0].completion_tokens == 10


async def test_a_call_that_cannot_be_made_is_kept_as_it_was_written(serve: Serve, tmp_path: Path) -> None:
    bad = 'Action: abacus\nAction Input: {"beads": 3}'
    roles = serve_roles(serve, planner=[Rule(["I try. Next: caller."])], caller=[Rule([bad])])
    wrote = await one(roles, tmp_path)
    assert (wrote.error, wrote.outputs[1].text, wrote.outputs[1].attempts) == (None, bad, 2)
    assert wrote.parsed.call is not None
    assert wrote.parsed.call.name == "abacus"


def faulty(status: int, body: object, *, render: bool = True) -> FastAPI:
    """A caller that fails in one way."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        entry = {"id": "x", "created": 1, "max_model_len": 9, "role": "caller", "template": "toolbench"}
        return {"object": "list", "data": [entry]}

    @app.post("/v1/call/render")
    async def rendered() -> dict[str, Any]:
        return {"prompt": "p", "prompt_tokens": 1, "template": "toolbench"}

    @app.post("/v1/call")
    async def answer() -> Response:
        return JSONResponse(body, status)

    return app


TOO_LONG = {
    "type": "urn:alpha-umi:problem:context-exceeded", "title": "t", "status": 422, "detail": "too long",
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "problem", "detail"),
    [
        (422, TOO_LONG, "context-exceeded", "too long"),
        (500, {"oh": "no"}, "no-problem-document", "status 500"),
        (200, {"text": "?"}, "answer-not-understood", "the answer cannot be read: usage: Field required"),
        (200, "words", "answer-not-understood", "the body"),
    ],
)
async def test_a_role_that_fails_is_an_error_in_the_record(
    serve: Serve, tmp_path: Path, status: int, body: object, problem: str, detail: str
) -> None:
    roles = calculating_roles(serve)
    roles.caller = serve(faulty(status, body))
    done, run = await generated(roles, tmp_path, count=2)
    assert done.errors == {f"caller: {problem}": 2}
    failed = next(prediction for prediction in run.predictions if prediction.error)
    assert failed.error is not None
    assert (failed.error.role, failed.error.problem, failed.error.status) == ("caller", problem, status)
    assert detail in failed.error.detail
    assert [output.role for output in failed.outputs] == ["planner"]
    assert failed.parsed.decision == "caller"
    again, _ = await generated(roles, tmp_path, count=2)
    assert (again.before, again.errors) == (4, done.errors)


# A repair goes on from the word that opens a call.
REPAIR = "The call was not made"


def stepping(*rules: Rule) -> FastAPI:
    return application("backbone", backbone_router, scripted(*rules))


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        ('I add.\nAction: calculator\nAction Input: {"expression": "1+1"}', "caller"),
        ("All is known.\nconclusion: It is 2.", "conclusion"),
        ("I cannot.\nconclusion: give up.", "give up"),
        ("Action: abacus\nAction Input: {}", "caller"),
        ("I just talk.", None),
    ],
)
async def test_the_single_model(serve: Serve, tmp_path: Path, text: str, decision: str | None) -> None:
    strategy: Strategy = "single"
    async with role_services(
        {"backbone": [serve(stepping(Rule([text.removeprefix("Action:")], when=REPAIR), Rule([text])))]}
    ) as services:
        task = await plan_task(services, sums(tmp_path, 1), strategy=strategy, constrained=False)
        await generate(services, task, tmp_path / "run.jsonl")
    run = read_run(tmp_path / "run.jsonl")
    assert list(run.about.models) == ["backbone"]
    wrote = run.predictions[0]
    assert (wrote.outputs[0].role, wrote.parsed.decision) == ("backbone", decision)
    assert wrote.outputs[0].text.split() == text.split()


async def test_what_is_there_is_not_asked_again(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    _, run = await generated(roles, tmp_path)
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "run.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    before = len(roles.engines["planner"].prompts)
    seen: list[str] = []
    done, again = await generated(roles, tmp_path, on_prediction=lambda prediction: seen.append(prediction.id))
    assert (done.cases, done.before) == (6, 5)
    assert len(roles.engines["planner"].prompts) == before + 1
    assert sorted(seen) == sorted(case.id for case in run.cases)
    assert {prediction.id: prediction.parsed for prediction in again.predictions} == {
        prediction.id: prediction.parsed for prediction in run.predictions
    }


async def test_another_run_is_refused(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    await generated(roles, tmp_path)
    with pytest.raises(OtherRun, match="`constrained` is True"):
        await generated(roles, tmp_path, constrained=False)
    with pytest.raises(OtherRun, match="`cases` is 6"):
        await generated(roles, tmp_path, count=2)


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
    async with asking(roles) as services:
        task: Task = await plan_task(services, suite, constrained=True)
    assert (task.findings["planner"].verdict, task.findings["planner"].instructions) == (verdict, listed)
    kept = task.about.models["planner"]
    assert kept["trained_on_suite"] == {"verdict": verdict, "instructions": listed, "total": 3}
    assert (kept["manifest"]["name"], "trained_on" in kept["manifest"]) == ("p", False)
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
async def test_a_service_that_comes_back_is_waited_for(serve: Serve, tmp_path: Path, status: int | None) -> None:
    roles = calculating_roles(serve)
    flaky = Flaky(application("planner", planner_router, scripted(Rule(["I stop. Next: give up."]))), 3, status)
    roles.planner = serve(flaky)
    done, run = await generated(roles, tmp_path, patience=LONG)
    assert (done.errors, flaky.left) == ({}, 0)
    assert {prediction.parsed.decision for prediction in run.predictions} == {"give up"}


async def test_a_service_that_stays_away_ends_the_run_and_the_file_can_go_on(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    good = roles.summarizer
    roles.summarizer = serve(Flaky(application("summarizer", summarizer_router, scripted()), 1_000_000, 503))
    said = r"the summarizer at http\S+ is away: status 503; .* has 1 of 6 predictions"
    with pytest.raises(ServiceAway, match=said) as ended:
        await generated(roles, tmp_path, concurrency=1)
    assert "it goes on from there" in (ended.value.remedy or "")
    roles.summarizer = good
    done, run = await generated(roles, tmp_path)
    assert (done.before, len(run.predictions)) == (1, 6)


async def test_a_replica_stands_in_for_one_that_is_away(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    gone = Flaky(application("planner", planner_router, scripted(Rule(["No. Next: give up."]))), 1_000_000, 503)
    addresses = addresses_of(roles) | {"planner": [serve(gone), roles.planner]}
    async with role_services(addresses, patience=LONG) as services:
        task = await plan_task(services, sums(tmp_path, 4), constrained=True)
        done = await generate(services, task, tmp_path / "run.jsonl")
    assert (done.cases, done.errors) == (8, {})
    assert gone.left < 1_000_000


async def test_who_is_not_there_is_said_at_once(serve: Serve, tmp_path: Path, free_port: int) -> None:
    roles = calculating_roles(serve)
    roles.caller = f"http://name:secret@127.0.0.1:{free_port}"
    async with asking(roles, LONG) as services:
        async with asyncio.timeout(10):
            with pytest.raises(ServiceAway, match=r"the caller at http://127\.0\.0\.1") as refused:
                await plan_task(services, sums(tmp_path, 1), constrained=True)
    assert "secret" not in refused.value.message


async def test_an_answer_that_takes_too_long_ends_the_run(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve, delay_s=30)
    roles.planner = serve(application("planner", planner_router, scripted(Rule(["a b"], delay_s=30))))
    with pytest.raises(ServiceAway, match=r"has not answered for 0\.2 s"):
        await generated(roles, tmp_path, patience=Patience(answer_s=0.2))


def wrong_role(roles: Roles, serve: Serve) -> None:
    roles.caller = roles.planner


def with_token(roles: Roles, serve: Serve) -> None:
    roles.caller = serve(application("planner", planner_router, scripted(), keys=["token"]))


def something_else(roles: Roles, serve: Serve) -> None:
    roles.caller = serve(FastAPI())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wrong_role, "is no caller service"),
        (with_token, "wants another token"),
        (something_else, "is no caller service"),
    ],
)
async def test_who_is_no_such_service_is_refused(
    serve: Serve, tmp_path: Path, change: Callable[[Roles, Serve], None], said: str
) -> None:
    roles = calculating_roles(serve)
    change(roles, serve)
    async with asking(roles) as services:
        with pytest.raises(ServiceRefuses, match=said):
            await plan_task(services, sums(tmp_path, 1), constrained=True)


async def test_replicas_of_different_models_are_refused(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    other = serve(application("planner", planner_router, scripted(), manifest=manifest()))
    async with role_services(addresses_of(roles) | {"planner": [roles.planner, other]}) as services:
        with pytest.raises(ServiceRefuses, match="replicas of the planner run different models"):
            await plan_task(services, sums(tmp_path, 1), constrained=True)


async def test_no_step_is_an_error(serve: Serve, tmp_path: Path) -> None:
    async with asking(calculating_roles(serve)) as services:
        with pytest.raises(EmptySuite):
            await plan_task(services, sums(tmp_path, 1), limit=0, constrained=True)


async def test_only_so_many_are_asked_at_a_time(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve, delay_s=0.002)
    running: list[int] = []
    await generated(
        roles, tmp_path, count=8, concurrency=3,
        on_prediction=lambda _: running.append(roles.engines["planner"].running),
    )  # fmt: skip
    assert 1 < max(running) <= 3
