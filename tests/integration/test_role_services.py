"""Role services as real processes with real vLLM: a shared engine, a remote server, and merged weights.

The layouts are one engine with three adapters, the same on a remote server, and three engines with merged weights; also
the end of a service. An engine takes about half a minute to start, so each is started once, and the three with merged
weights serve until one of the last tests stops them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support.orchestrator_process import free_port
from support.processes import service_process, wait_ready
from support.serving_on_loopback import Serve
from support.stub_tools import StubTools
from support.system import Roles, orchestrated
from support.tiny_models import QUESTION, ROLES, SENTENCES, TOOL, TinyModels, make_tiny_models
from support.vllm_server import KEY, vllm_server

from alpha_umi.roles.turns import Role
from alpha_umi.serving.process import EXIT_ENGINE_LOST

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

Json = dict[str, Any]
PATHS = {"planner": "/v1/plan", "caller": "/v1/call", "summarizer": "/v1/summarize"}
# At this temperature the tiny models never write the end of a turn; 3,500 tokens take ten seconds, which is longer than
# a service that ends waits.
LONG = {"temperature": 2, "seed": 0, "max_tokens": 3_500, "stream": True}


@dataclass
class RoleService:
    """A running service, and where it logs."""

    process: subprocess.Popen[str]
    address: str
    log: Path


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
def separate(tiny: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Role, RoleService]]:
    """Each role's own service, its model merged."""
    folder = tmp_path_factory.mktemp("separate")
    with contextlib.ExitStack() as stack:
        services: dict[Role, RoleService] = {}
        for role in ROLES:
            port, log = free_port(), folder / role
            settings = environment(tiny.merged[role], port)
            file = stack.enter_context(log.open("w"))
            process = stack.enter_context(service_process(f"services.{role}", settings, log=file))
            services[role] = RoleService(process, f"http://127.0.0.1:{port}", log)
        for service in services.values():
            wait_ready(service.address, service.process)
        yield services


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


def test_the_shared_engine_and_three_merged_ones_write_the_same(shared: str, separate: dict[Role, RoleService]) -> None:
    together = {role: answer_of(shared, role) for role in ROLES}
    assert together == {role: answer_of(separate[role].address, role) for role in ROLES}
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


async def test_a_trajectory_on_one_engine(shared: str, serve: Serve, tmp_path: Path) -> None:
    stub = StubTools()
    async with orchestrated(Roles(shared, shared, shared, {}), serve(stub.app()), tmp_path) as client:
        body = {"instruction": QUESTION.content, "tools": [TOOL.name]}
        trajectory = (await client.post("/v1/trajectories", json=body)).json()
    assert (trajectory["status"], trajectory["answer"]) == ("completed", SENTENCES["summarizer"][0])
    assert [step["next"] for step in trajectory["steps"]] == ["caller", "conclusion"]
    assert stub.calls == [("current_temperature", "Oslo")]


def engine_of(process: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(process.pid).children(recursive=True)
    return next(child for child in children if child.memory_info().rss > 300 * 2**20)


@contextlib.contextmanager
def long_answer(service: RoleService, role: Role) -> Iterator[Iterator[str]]:
    """Lines of a long streamed answer whose first bytes are there."""
    body = {**request_for(role), **LONG} | ({"constrained": False} if role == "caller" else {})
    with (
        httpx.Client(base_url=service.address, timeout=30) as client,
        client.stream("POST", PATHS[role], json=body) as response,
    ):
        lines = response.iter_lines()
        next(lines)
        yield lines


def test_a_service_whose_engine_is_killed_says_so_and_ends(separate: dict[Role, RoleService]) -> None:
    service = separate["summarizer"]
    with long_answer(service, "summarizer") as lines:
        engine_of(service.process).kill()
        killed = time.monotonic()
        assert "engine-dead" in "\n".join(lines), "the open stream ends with the problem"
    assert time.monotonic() < killed + 10
    with contextlib.suppress(httpx.TransportError):  # the process may be gone by now
        answer = httpx.post(f"{service.address}/v1/summarize", json=request_for("summarizer"), timeout=30)
        assert answer.status_code == 503
    assert service.process.wait(15) == EXIT_ENGINE_LOST


def test_a_stopped_service_cuts_off_requests_and_ends_its_engine(
    separate: dict[Role, RoleService],
) -> None:
    service = separate["planner"]
    children = psutil.Process(service.process.pid).children(recursive=True)
    with long_answer(service, "planner") as answer:
        service.process.terminate()
        assert "shutting-down" in "\n".join(answer)
    assert service.process.wait(30) == 0
    assert not psutil.wait_procs(children, timeout=5)[1]
    text = service.log.read_text()
    # An engine process that only begins writes as it likes: its logs are not configured yet, and torch has its own.
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {line["service"] for line in lines} == {"planner"}
    assert {line.get("process") for line in lines} == {None, "EngineCore"}
    assert not [line for line in lines if line["level"] == "error"]
    assert "Completed" not in text, "a progress bar"
    assert all(line.startswith("{") for line in text[text.index("engine.ready") :].splitlines()[1:])


def test_a_killed_service_leaves_no_engine_behind(separate: dict[Role, RoleService]) -> None:
    service = separate["caller"]
    children = psutil.Process(service.process.pid).children(recursive=True)
    assert engine_of(service.process) in children
    with long_answer(service, "caller"):
        service.process.kill()
        service.process.wait(5)
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert not [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert gone
