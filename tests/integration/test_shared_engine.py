"""One engine with three adapters, here and on a server elsewhere, against three engines with merged weights: real
processes with real vLLM."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.orchestrator_process import free_port
from support.processes import service_process, wait_ready
from support.serving_on_loopback import Serve
from support.stub_tools import StubTools
from support.system import Roles, orchestrated
from support.tiny_models import QUESTION, ROLES, SENTENCES, TOOL, TinyModels, make_tiny_models
from support.vllm_server import KEY, vllm_server

from alpha_umi.roles.turns import Role

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

Json = dict[str, Any]
PATHS = {"planner": "/v1/plan", "caller": "/v1/call", "summarizer": "/v1/summarize"}


@pytest.fixture(scope="module")
def tiny(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    return make_tiny_models(tmp_path_factory.mktemp("tiny"), embedded_model)


def environment(model: Path, port: int, **more: str) -> dict[str, str]:
    values = {"PORT": str(port), "MODEL": str(model), "KV_CACHE_GIB": "0.25", "MAX_TOKENS": "256", **more}
    return {f"ALPHA_UMI_ROLE_{name}": value for name, value in values.items()}


@pytest.fixture(scope="module")
def shared(tiny: TinyModels) -> Iterator[str]:
    """The address of one service with all three roles."""
    port = free_port()
    settings = environment(tiny.backbone, port, ADAPTERS=str(tiny.adapters))
    with service_process("services.shared", settings) as process:
        wait_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def separate(tiny: TinyModels) -> Iterator[dict[Role, str]]:
    """The address of each role's own service, its model merged."""
    ports = {role: free_port() for role in ROLES}
    with contextlib.ExitStack() as stack:
        processes = {
            role: stack.enter_context(service_process(f"services.{role}", environment(tiny.merged[role], port)))
            for role, port in ports.items()
        }
        for role, port in ports.items():
            wait_ready(f"http://127.0.0.1:{port}", processes[role])
        yield {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}


@pytest.fixture(scope="module")
def elsewhere(tiny: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one service with all three roles, whose engine is a server with the adapters as its models."""
    modules = [f"{role}={tiny.adapters / role}" for role in ROLES]
    options = ("--enable-lora", "--max-loras", "3", "--max-lora-rank", "8", "--lora-modules", *modules)
    log = tmp_path_factory.mktemp("server") / "log"
    port = free_port()
    with vllm_server(tiny.backbone, "tiny", *options, context=4_096, log=log) as server:
        remote = {"ENGINE": "remote", "REMOTE_URL": server, "REMOTE_KEY": KEY, "ADAPTERS": str(tiny.adapters)}
        with service_process("services.shared", environment(tiny.backbone, port, **remote)) as process:
            wait_ready(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"


def request_for(role: Role) -> Json:
    body: Json = {"history": [{"role": QUESTION.role, "content": QUESTION.content}]}
    if role != "summarizer":
        body["tools"] = [{"name": TOOL.name, "description": TOOL.description, "parameters": TOOL.parameters}]
    if role == "caller":
        body["thought"] = f"{SENTENCES['planner'][0]}."
    return body


def answer_of(address: str, role: Role) -> Json:
    answer: Json = httpx.post(f"{address}{PATHS[role]}", json=request_for(role), timeout=60).raise_for_status().json()
    del answer["timings"], answer["usage"]["cached_tokens"]
    return answer


def written(answer: Json) -> str:
    """The text of an answer, without the full point that the planner's service closes a decision with."""
    return str(answer["text"].removesuffix(".") if "text" in answer else answer["answer"])


def test_the_shared_engine_and_three_merged_ones_write_the_same(shared: str, separate: dict[Role, str]) -> None:
    together = {role: answer_of(shared, role) for role in ROLES}
    assert together == {role: answer_of(separate[role], role) for role in ROLES}
    assert {role: written(answer) for role, answer in together.items()} == {role: SENTENCES[role][0] for role in ROLES}


def test_a_server_elsewhere_writes_the_same(shared: str, elsewhere: str) -> None:
    assert {role: answer_of(elsewhere, role) for role in ROLES} == {role: answer_of(shared, role) for role in ROLES}


async def test_requests_of_three_roles_in_one_batch_keep_their_adapters(shared: str) -> None:
    async with httpx.AsyncClient(base_url=shared, timeout=60) as client:
        order = [role for _ in range(4) for role in ROLES]
        answers = await asyncio.gather(*(client.post(PATHS[role], json=request_for(role)) for role in order))
    for role, answer in zip(order, answers, strict=True):
        assert written(answer.json()) == SENTENCES[role][0]


def test_it_says_what_it_runs(shared: str, tiny: TinyModels) -> None:
    models = httpx.get(f"{shared}/v1/models").json()["data"]
    assert [(model["id"], model["role"]) for model in models] == [(f"tiny-{role}", role) for role in ROLES]
    ready = httpx.get(f"{shared}/readyz").json()["models"]
    assert [model["role"] for model in ready] == list(ROLES)


async def test_a_whole_trajectory_on_one_engine(shared: str, serve: Serve, tmp_path: Path) -> None:
    stub = StubTools()
    async with orchestrated(Roles(shared, shared, shared, {}), serve(stub.app()), tmp_path) as client:
        body = {"instruction": QUESTION.content, "tools": [TOOL.name]}
        trajectory = (await client.post("/v1/trajectories", json=body)).json()
    assert (trajectory["status"], trajectory["answer"]) == ("completed", SENTENCES["summarizer"][0])
    assert [step["next"] for step in trajectory["steps"]] == ["caller", "conclusion"]
    assert stub.calls == [("current_temperature", "Oslo")]
