"""Predictions from real role applications over HTTP; only the language models are scripted."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from support.generated_suites import calculating_roles, sums
from support.generating import generated, services_of
from support.role_apps import application, scripted
from support.serving_on_loopback import Serve
from support.system import Roles, call, serve_roles

from alpha_umi.client.errors import ServiceMismatch
from alpha_umi.client.roles import RoleServices
from alpha_umi.serving.engine import Chunk, Generation
from alpha_umi.serving.scripted import Rule
from evaluation.files.jsonl import OtherRun
from evaluation.files.step_run import PredictionRecord, read_run
from evaluation.run.steps import Generated, StepStrategy, generate, plan_task
from evaluation.scoring import score
from recordings.errors import EmptySuite
from services.backbone import create_router as backbone_router


async def one(roles: Roles, folder: Path) -> PredictionRecord:
    """The prediction for the first step of one sum."""
    _, run = await generated(roles, folder, count=1)
    return next(prediction for prediction in run.predictions if prediction.id.endswith("/1"))


async def test_every_step_is_predicted_with_its_recorded_history(serve: Serve, tmp_path: Path) -> None:
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


async def test_a_step_takes_one_request_per_role(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    async def send(client: httpx.AsyncClient, request: httpx.Request, **options: Any) -> httpx.Response:
        requests.append(request.url.path)
        return await sent(client, request, **options)

    sent = httpx.AsyncClient.send
    monkeypatch.setattr(httpx.AsyncClient, "send", send)
    _, run = await generated(calculating_roles(serve), tmp_path, count=2)
    outputs = [output for prediction in run.predictions for output in prediction.outputs]
    assert len(outputs) == 8
    assert sorted(path for path in requests if path != "/v1/models") == sorted(
        {"planner": "/v1/plan", "caller": "/v1/call", "summarizer": "/v1/summarize"}[output.role] for output in outputs
    )


async def test_a_service_of_an_earlier_version_is_refused(serve: Serve, tmp_path: Path) -> None:
    roles = calculating_roles(serve)
    answer = {name: value for name, value in RIGHT_CALL.items() if name != "prompt_sha256"}
    roles.caller = serve(faulty(200, answer))
    with pytest.raises(ServiceMismatch, match="no `prompt_sha256`"):
        await generated(roles, tmp_path)


@pytest.mark.parametrize("constrained", [True, False])
async def test_a_planner_without_a_decision(serve: Serve, tmp_path: Path, constrained: bool) -> None:
    decision = Rule([" give up."], when="Hm, I do not know. Next:")
    roles = serve_roles(serve, planner=[decision, Rule(["Hm, I do not know."])])
    _, run = await generated(roles, tmp_path, count=1, constrained=constrained)
    wrote = run.predictions[0]
    assert (run.about.constrained, run.about.attempts) == (constrained, 2 if constrained else 1)
    assert wrote.error is None
    if constrained:
        assert (wrote.outputs[0].text, wrote.parsed.decision) == ("Hm, I do not know. Next: give up.", "give up")
    else:
        assert (wrote.outputs[0].text, wrote.parsed.decision) == ("Hm, I do not know.", None)
        assert "no decision" in (wrote.parsed.unreadable or "")
        assert (len(wrote.outputs), wrote.outputs[0].attempts) == (1, 1)
        assert wrote.outputs[0].completion_tokens == 5


async def test_an_unusable_call_is_recorded_as_it_was_written(serve: Serve, tmp_path: Path) -> None:
    bad = 'Action: abacus\nAction Input: {"beads": 3}'
    roles = serve_roles(serve, planner=[Rule(["I try. Next: caller."])], caller=[Rule([bad])])
    wrote = await one(roles, tmp_path)
    assert (wrote.error, wrote.outputs[1].text, wrote.outputs[1].attempts) == (None, bad, 2)
    first_prompt = roles.engines["caller"].prompts[1]
    assert wrote.outputs[1].prompt_sha256 == hashlib.sha256(first_prompt.encode()).hexdigest()
    assert wrote.parsed.call is not None
    assert wrote.parsed.call.name == "abacus"


def faulty(status: int, body: object) -> FastAPI:
    """A caller that fails in one way."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        entry = {"id": "x", "created": 1, "max_model_len": 9, "role": "caller", "template": "toolbench"}
        return {"object": "list", "data": [entry]}

    @app.post("/v1/call")
    async def answer() -> Response:
        return JSONResponse(body, status)

    return app


TOO_LONG = {
    "type": "urn:alpha-umi:problem:context-exceeded", "title": "t", "status": 422, "detail": "too long",
}  # fmt: skip


RIGHT_CALL = {
    "action": {"name": "calculator", "arguments": {"expression": "1+1"}}, "usage": {}, "timings": {},
    "text": call("calculator", {"expression": "1+1"}), "prompt_sha256": "0" * 64,
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
    roles.caller = serve(faulty(200, RIGHT_CALL))
    again, run = await generated(roles, tmp_path, count=2)
    if problem == "context-exceeded":
        assert (done.failed, again.before, again.errors) == (0, 4, done.errors)
    else:
        # The service failed, not the request.
        assert (done.failed, again.before, again.failed, again.errors) == (2, 2, 0, {})
        assert len(run.predictions) == 4


# A repair goes on from the word that opens a call.
REPAIR = "No call was made"


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
    strategy: StepStrategy = "single"
    async with RoleServices(
        {"backbone": [serve(stepping(Rule([text.removeprefix("Action:")], when=REPAIR), Rule([text])))]}
    ) as services:
        task = await plan_task(services, sums(tmp_path, 1), strategy=strategy, constrained=False)
        await generate(services, task, tmp_path / "run.jsonl")
    run = read_run(tmp_path / "run.jsonl")
    assert list(run.about.models) == ["backbone"]
    wrote = run.predictions[0]
    assert (wrote.outputs[0].role, wrote.parsed.decision) == ("backbone", decision)
    assert wrote.outputs[0].text.split() == text.split()


async def test_existing_predictions_are_not_repeated(serve: Serve, tmp_path: Path) -> None:
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


async def test_no_step_is_an_error(serve: Serve, tmp_path: Path) -> None:
    async with services_of(calculating_roles(serve)) as services:
        with pytest.raises(EmptySuite):
            await plan_task(services, sums(tmp_path, 1), limit=0, constrained=True)


async def test_concurrency_is_bounded(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = calculating_roles(serve, delay_s=0.02)
    planner = roles.engines["planner"]
    write, running = planner.generate, list[int]()

    async def watched(generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        async for chunk in write(generation, request_id=request_id):
            running.append(planner.running)
            yield chunk

    monkeypatch.setattr(planner, "generate", watched)
    await generated(roles, tmp_path, count=8, concurrency=3)
    assert 1 < max(running) <= 3
