"""A completions server that is unavailable, overloaded, misconfigured, or not a completions server.

The engine contract tests a correct server; here a few lines of HTTP misbehave.
"""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs
from support.model_hub import ModelHub
from support.role_apps import application, client_of, role_host
from support.serving_on_loopback import Serve, until
from support.tiny_models import manifest

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.engine import Chunk, EngineError, EngineRefused, EngineUnavailable, Generation
from alpha_umi.serving.host import RoleHost
from alpha_umi.serving.loading import load_role
from alpha_umi.serving.manifest import write_manifest
from alpha_umi.serving.remote.completions import CompletionsEngine
from alpha_umi.serving.remote.engine import RemoteOptions
from alpha_umi.serving.scripted import CANARY as SCRIPTED_CANARY
from alpha_umi.serving.settings import RoleSettings, UnusableSettings, faults
from services.planner import create_router as planner_router

KEY = "sk-secret-of-the-server"
CANARY = ("capital of France?", "Paris")
PLAN = {"tools": [{"name": "t"}], "history": [{"role": "user", "content": "question"}]}
Answer = Callable[[], Response]


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> Path:
    return embedded_model


def data(document: Any) -> str:
    return f"data: {document if isinstance(document, str) else json.dumps(document)}\n\n"


def piece(text: str, reason: str | None = None) -> str:
    return data({"choices": [{"index": 0, "text": text, "finish_reason": reason}]})


def stream(*events: str) -> Response:
    return StreamingResponse(iter(events), media_type="text/event-stream")


def complete(*texts: str) -> Response:
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
    end = data({"choices": [], "usage": usage})
    return stream(*map(piece, texts[:-1]), piece(texts[-1], "stop"), end, data("[DONE]"))


class Peer:
    """A server whose answers a test chooses; it records the bodies and headers of requests."""

    def __init__(self, answer: Answer = lambda: complete("Par", "is"), *, models: Answer | None = None) -> None:
        self.answer = answer
        self.models = models or (lambda: JSONResponse({"data": [{"id": "small"}]}))
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    def app(self) -> FastAPI:
        """The HTTP side."""
        app = FastAPI()

        @app.get("/v1/models")
        async def models(request: Request) -> Response:
            self.keys.append(request.headers.get("authorization"))
            return self.models()

        @app.post("/v1/completions")
        async def completions(request: Request) -> Response:
            self.bodies.append(await request.json())
            return self.answer()

        return app


def engine_on(address: str, tokenizer: Path, **options: Any) -> CompletionsEngine:
    chosen: dict[str, Any] = {"context": 512, "model": "small", "extensions": False, **options}
    return CompletionsEngine(RemoteOptions(address, tokenizer, key=SecretStr(KEY), **chosen))


async def write(engine: CompletionsEngine, **generation: Any) -> list[Chunk]:
    try:
        await engine.start()
        request = Generation("question", **{"max_tokens": 8, **generation})
        return [chunk async for chunk in engine.generate(request, request_id="r")]
    finally:
        await engine.stop()


async def test_what_is_sent_and_counted(serve: Serve, tokenizer: Path) -> None:
    peer = Peer()
    engine = engine_on(serve(peer.app()), tokenizer)
    chunks = await write(engine, seed=3, temperature=0.5)
    assert [(c.text, c.completion_tokens, c.cached_tokens, c.finish_reason) for c in chunks] == [
        ("Par", 1, 0, None),
        ("is", 7, 4, "stop"),
    ]
    assert chunks[0].prompt_tokens == engine.count_tokens("question")
    assert (engine.stats().running, engine.stats().hit_tokens) == (0, 4)
    assert peer.keys == [f"Bearer {KEY}"]
    assert peer.bodies == [
        {
            "model": "small",
            "prompt": engine._tokenizer.encode("question"),
            "max_tokens": 8,
            "temperature": 0.5,
            "top_p": 1.0,
            "seed": 3,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_an_adapter_is_a_model_of_the_server(serve: Serve, tokenizer: Path) -> None:
    peer = Peer(models=lambda: JSONResponse({"data": [{"id": "planner"}, {"id": "caller"}]}))
    engine = engine_on(serve(peer.app()), tokenizer, model=None, adapters=("planner", "caller"))
    await write(engine, adapter="caller")
    assert peer.bodies[-1]["model"] == "caller"
    with pytest.raises(EngineRefused, match="names no adapter"):
        await write(engine)


@pytest.mark.parametrize(
    ("texts", "stop", "written"),
    [
        (
            ("I know. Ne", "xt: cal", "ler. Next: conclusion"),
            ("Next: caller", "Next: conclusion"),
            "I know. Next: caller",
        ),
        (("one two", " three"), ("four",), "one two three"),
        (("one two", " three"), (), "one two three"),
    ],
)
async def test_stop_strings_match_across_pieces(
    serve: Serve, tokenizer: Path, texts: Sequence[str], stop: Sequence[str], written: str
) -> None:
    chunks = await write(engine_on(serve(Peer(lambda: complete(*texts)).app()), tokenizer), stop=tuple(stop))
    assert "".join(chunk.text for chunk in chunks) == written
    assert chunks[-1].finish_reason == "stop"


ECHOED = {"error": {"message": f"Incorrect API key provided: {KEY}\nFind yours.", "code": "invalid"}}


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda: JSONResponse(ECHOED, 401), EngineRefused, r"refuses the key \(401\); check ALPHA_UMI_ROLE_REMOTE_KEY"),
        (lambda: JSONResponse(ECHOED, 403), EngineRefused, "refuses the key"),
        (lambda: JSONResponse(ECHOED, 400), EngineRefused, r"\(400\): Incorrect API key provided: \*\*\* Find yours"),
        (lambda: JSONResponse({"detail": "no"}, 404), EngineRefused, r"\(404\): .* check ALPHA_UMI_ROLE_REMOTE_URL"),
        (lambda: RedirectResponse("http://elsewhere.invalid/"), EngineRefused, r"refuses the request \(307\)"),
        (lambda: JSONResponse({}, 429), EngineUnavailable, "cannot answer now"),
        (lambda: Response("Bad Gateway", 502), EngineUnavailable, r"cannot answer now \(502\): Bad Gateway"),
        (lambda: Response("<html>hello</html>"), EngineRefused, "no completions in OpenAI's format"),
        (lambda: JSONResponse({"choices": []}), EngineRefused, "'text/event-stream'"),
        (lambda: stream("data: {broken\n\n"), EngineRefused, "Invalid JSON"),
        (lambda: stream(data({"choices": "all"})), EngineRefused, "choices: Input should be a valid array"),
        (lambda: stream(data({"choices": [{"text": 7}]})), EngineRefused, "choices.0.text"),
        (lambda: stream(b"data: \xff\xfe\n\n"), EngineRefused, "format"),
        (lambda: Response("oops", 500), EngineUnavailable, r"fails \(500\): oops"),
        (lambda: stream(data({"error": {"message": "boom", "code": 500}})), EngineUnavailable, "boom"),
        (lambda: stream(data({"error": {"message": "too long", "code": 400}})), EngineRefused, "too long"),
        (lambda: stream(piece("half")), EngineUnavailable, "ended its answer early"),
        (lambda: stream(piece("half"), data("[DONE]")), EngineUnavailable, "ended its answer early"),
        (lambda: stream(piece("x", "content_filter")), EngineRefused, r"withholds its answer \(content_filter\)"),
        (lambda: stream(piece("x", "abort")), EngineUnavailable, "ended its answer with 'abort'"),
    ],
)  # fmt: skip
async def test_errors_are_typed_and_never_hold_the_key(
    serve: Serve, tokenizer: Path, answer: Answer, error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        await write(engine_on(serve(Peer(answer).app()), tokenizer))
    assert KEY not in str(caught.value)


async def test_a_server_that_ignores_constraints_is_refused(serve: Serve, tokenizer: Path) -> None:
    peer = Peer(lambda: complete("whatever", " it likes"))
    with pytest.raises(EngineRefused, match="vLLM's structured_outputs, or set ALPHA_UMI_ROLE_REMOTE_EXTENSIONS=false"):
        await write(engine_on(serve(peer.app()), tokenizer, extensions=True))
    assert peer.bodies[0]["structured_outputs"] == {"choice": ["7f3a"]}


async def test_a_server_whose_back_end_compiles_no_grammar_is_refused(serve: Serve, tokenizer: Path) -> None:
    peer = Peer()
    peer.answer = lambda: (
        JSONResponse({}, 500) if "grammar" in peer.bodies[-1]["structured_outputs"] else complete("7f3a")
    )
    with pytest.raises(EngineRefused, match=r"start it with `--structured-outputs-config\.backend guidance`, or set"):
        await write(engine_on(serve(peer.app()), tokenizer, extensions=True))


async def test_a_server_without_a_list_of_models_will_do(serve: Serve, tokenizer: Path) -> None:
    peer = Peer(models=lambda: JSONResponse({}, 404))
    assert (await write(engine_on(serve(peer.app()), tokenizer)))[-1].text == "is"


async def test_an_unreachable_server(tokenizer: Path, free_port: int) -> None:
    with pytest.raises(EngineUnavailable, match=f"http://127.0.0.1:{free_port}/v1 cannot be reached"):
        await write(engine_on(f"http://127.0.0.1:{free_port}", tokenizer))


class Absent(Peer):
    """Unavailable until `there` is set."""

    def __init__(self) -> None:
        super().__init__(lambda: complete("Paris"), models=self._models)
        self.there = False

    def _models(self) -> Response:
        return JSONResponse({"data": [{"id": "small"}]}, 200 if self.there else 503)


async def test_a_server_that_comes_late_and_goes_for_a_while(
    serve: Serve, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service waits and logs it, runs the canary again afterwards, and never exits."""
    monkeypatch.setattr("alpha_umi.serving.host.RETRY_INTERVAL_S", 0.02)
    monkeypatch.setattr("alpha_umi.serving.remote.engine.POLL_INTERVAL_S", 0.02)
    peer, lost = Absent(), []
    engine = engine_on(serve(peer.app()), tokenizer)
    host = role_host("planner", engine, canary=CANARY, on_lost=lambda: lost.append("lost"))
    with capture_logs() as logs:
        async with host.running():
            for there in (False, True, False, True):
                peer.there = there
                await until(lambda: obstacle_of(host) is None if peer.there else "answer now" in str(obstacle_of(host)))
    assert lost == []
    assert len(peer.bodies) == 2, "one canary each time it came"
    assert [log["event"] for log in logs] == [
        "engine.unavailable",
        "engine.ready",
        "engine.unavailable",
        "engine.ready",
    ]


def obstacle_of(host: RoleHost) -> str | None:
    try:
        host.require_ready()
    except ServiceError as error:
        return error.detail
    return None


async def test_a_request_to_an_unavailable_server_can_be_retried(serve: Serve, tokenizer: Path) -> None:
    peer = Peer(lambda: complete(SCRIPTED_CANARY))
    app = application("planner", planner_router, engine_on(serve(peer.app()), tokenizer))
    async with client_of(app) as client:
        peer.answer = lambda: JSONResponse({}, 503)
        response = await client.post("/v1/plan", json=PLAN)
        assert (await client.get("/readyz")).status_code == 200, "the server itself says that it is there"
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.json()["type"] == "urn:alpha-umi:problem:engine-not-ready"


async def test_a_server_that_refuses_the_key_is_lost(serve: Serve, tokenizer: Path) -> None:
    lost: list[str] = []
    engine = engine_on(serve(Peer(models=lambda: JSONResponse(ECHOED, 401)).app()), tokenizer)
    with capture_logs() as logs:
        async with role_host("planner", engine, on_lost=lambda: lost.append("lost")).running():
            await until(lambda: bool(lost))
    assert [log["event"] for log in logs] == ["engine.unusable"]
    assert KEY not in "".join(traceback.format_exception(logs[0]["exc_info"]))


async def test_without_constraints_an_unreadable_decision_is_named(serve: Serve, tokenizer: Path) -> None:
    peer = Peer(lambda: complete(SCRIPTED_CANARY))
    app = application("planner", planner_router, engine_on(serve(peer.app()), tokenizer))
    async with client_of(app) as client:
        peer.answer = lambda: complete("mumble")
        response = await client.post("/v1/plan", json=PLAN)
    assert response.json()["type"] == "urn:alpha-umi:problem:output-unreadable"


@pytest.fixture
def folder(tokenizer: Path, tmp_path: Path) -> Path:
    """Tokenizer and manifest, all that a remote model needs here."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, tmp_path / name)
    write_manifest(tmp_path, manifest("planner"))
    return tmp_path


def test_a_folder_without_weights_is_enough(folder: Path) -> None:
    settings = RoleSettings(engine="remote", model=folder, remote_url="http://gpu:8000", remote_model="small")
    engine, model = load_role("planner", settings)
    assert (engine.context, model.name) == (4_096, "tiny-planner")


def test_of_a_hubs_model_only_the_tokenizer_is_fetched(tokenizer: Path, model_hub: ModelHub) -> None:
    names = ("tokenizer.json", "tokenizer_config.json", "config.json")
    files = {name: (tokenizer / name).read_bytes() for name in names}
    model_hub.add("org/small", {**files, "model.safetensors": b"weights"})
    settings = RoleSettings(
        engine="remote", model="org/small", template="chat", remote_url="http://gpu:8000", remote_model="small"
    )
    assert load_role("planner", settings).model.name == "org/small"
    assert model_hub.fetched() == {*names}


@pytest.mark.parametrize("missing", ["remote_url", "remote_model"])
def test_a_missing_remote_setting_is_named(folder: Path, missing: str) -> None:
    given = {"remote_url": "http://gpu:8000", "remote_model": "small"}
    del given[missing]
    with pytest.raises(UnusableSettings, match=f"ALPHA_UMI_ROLE_{missing.upper()} is not set"):
        load_role("planner", RoleSettings(engine="remote", model=folder, **given))


@pytest.mark.parametrize(
    "url", ["gpu:8000", "ftp://gpu", "http://user:secret@gpu:8000", "http://gpu:8000/v1?key=1", "http://gpu:8000/#v1"]
)
def test_an_address_that_cannot_be_one_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_ROLE_REMOTE_URL", url)
    with pytest.raises(ValidationError, match="remote_url"):
        RoleSettings()


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} ", f"{KEY}é"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RoleSettings(remote_key=SecretStr(key))
    assert faults(refused.value).startswith("ALPHA_UMI_ROLE_REMOTE_KEY: ")
    assert KEY not in f"{refused.value} {faults(refused.value)}"


def test_the_key_is_never_shown(tokenizer: Path) -> None:
    options = RemoteOptions("http://gpu:8000", tokenizer, 512, "small", key=SecretStr(KEY))
    assert KEY not in f"{options!r} {CompletionsEngine(options)!r} {RoleSettings(remote_key=SecretStr(KEY))!r}"
