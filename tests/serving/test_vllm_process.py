"""A role service with a real vLLM engine as a process: answers, deaths, wrong dtypes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from safetensors.torch import load_file, save_file
from support.processes import service_process, wait_ready
from support.role_apps import role_host

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.manifest import load_manifest, write_manifest
from alpha_umi.serving.process import EXIT_ENGINE_LOST
from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]

STORY = {"history": [{"role": "user", "content": "Tell me a long story."}], "max_tokens": 400}


def environment(model: Path, port: int) -> dict[str, str]:
    prefix = "ALPHA_UMI_ROLE_"
    values = {"PORT": str(port), "MODEL": str(model), "KV_CACHE_GIB": "0.25", "MAX_MODEL_LEN": "1024"}
    return {prefix + name: value for name, value in values.items()}


def engine_of(pid: int) -> psutil.Process:
    return next(
        child for child in psutil.Process(pid).children(recursive=True) if child.memory_info().rss > 300 * 2**20
    )


@pytest.fixture
def address(free_port: int) -> str:
    return f"http://127.0.0.1:{free_port}"


@contextlib.contextmanager
def long_answer(client: httpx.Client) -> Iterator[Iterator[str]]:
    """Lines of a long streamed answer whose first bytes are there."""
    with client.stream("POST", "/v1/summarize", json={**STORY, "stream": True}) as response:
        lines = response.iter_lines()
        next(lines)
        yield lines


def test_a_service_whose_engine_is_killed_says_so_and_ends(embedded_model: Path, free_port: int, address: str) -> None:
    with service_process("services.summarizer", environment(embedded_model, free_port)) as process:
        wait_ready(address, process)
        answer = httpx.post(f"{address}/v1/summarize", json={**STORY, "max_tokens": 8}, timeout=60)
        assert (answer.status_code, answer.json()["usage"]["completion_tokens"]) == (200, 8)
        with httpx.Client(base_url=address, timeout=30) as client:
            with long_answer(client) as lines:
                engine_of(process.pid).kill()
                killed = time.monotonic()
                assert "engine-dead" in "\n".join(lines), "the open stream ends with the problem"
            assert time.monotonic() < killed + 10
            with contextlib.suppress(httpx.TransportError):  # the process may be gone by now
                assert client.post("/v1/summarize", json=STORY).status_code == 503
        assert process.wait(15) == EXIT_ENGINE_LOST


def test_a_stopped_service_cuts_off_requests_and_ends_its_engine(
    embedded_model: Path, free_port: int, address: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        service_process("services.summarizer", environment(embedded_model, free_port), log=file) as process,
    ):
        wait_ready(address, process)
        children = psutil.Process(process.pid).children(recursive=True)
        with httpx.Client(base_url=address, timeout=30) as client, long_answer(client) as answer:
            process.terminate()
            assert "shutting-down" in "\n".join(answer)
        assert process.wait(30) == 0
        assert not psutil.wait_procs(children, timeout=5)[1]
    text = log.read_text()
    # An engine process that only begins writes as it likes: its logs are not configured yet, and torch has its own.
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {line["service"] for line in lines} == {"summarizer"}
    assert {line.get("process") for line in lines} == {None, "EngineCore"}
    assert not [line for line in lines if line["level"] == "error"]
    assert "Completed" not in text, "a progress bar"
    assert all(line.startswith("{") for line in text[text.index("engine.ready") :].splitlines()[1:])


def test_a_killed_service_leaves_no_engine_behind(embedded_model: Path, free_port: int, address: str) -> None:
    with service_process("services.summarizer", environment(embedded_model, free_port)) as process:
        wait_ready(address, process)
        children = psutil.Process(process.pid).children(recursive=True)
        assert engine_of(process.pid) in children
        with httpx.Client(base_url=address, timeout=30) as client, long_answer(client):
            process.kill()
            process.wait(5)
        gone, alive = psutil.wait_procs(children, timeout=5)
        assert not [child for child in alive if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert gone


@pytest.fixture(scope="module")
def overflowing_model(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same function of its input, written so that float16 overflows: wide up, narrow down again."""
    folder = tmp_path_factory.mktemp("overflowing") / "model"
    shutil.copytree(embedded_model, folder)
    (folder / "model.safetensors").unlink()
    tensors = load_file(embedded_model / "model.safetensors")
    for name in tensors:
        if "up_proj" in name:
            tensors[name] = tensors[name] * 2.0**14
        elif "down_proj" in name:
            tensors[name] = tensors[name] * 2.0**-14
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_manifest(folder, load_manifest(embedded_model))
    return folder


async def test_the_wrong_number_format_is_never_ready(overflowing_model: Path) -> None:
    """Right in float32 and bfloat16 (the canary test of the model itself), nonsense in float16: not ready."""
    engine = VllmEngine(VllmOptions(overflowing_model, 512, dtype="float16", kv_cache_gib=0.25))
    manifest = load_manifest(overflowing_model)
    host = role_host("planner", engine, canary=(manifest.canary.prompt, manifest.canary.expected))
    async with host.running():
        while True:
            with pytest.raises(ServiceError) as caught:
                host.require_ready()
            if "being loaded" not in str(caught.value):
                break
            await asyncio.sleep(0.1)
    assert caught.value.kind == "engine-not-ready"
    assert "check the weights, and the dtype" in caught.value.detail


async def test_the_same_model_in_the_processors_format_is_ready(overflowing_model: Path) -> None:
    engine = VllmEngine(VllmOptions(overflowing_model, 512, kv_cache_gib=0.25))
    manifest = load_manifest(overflowing_model)
    host = role_host("planner", engine, canary=(manifest.canary.prompt, manifest.canary.expected))
    async with host.running(), asyncio.timeout(120):
        while True:
            try:
                assert (await host.readiness())["role"] == "planner"
            except ServiceError as error:
                assert "being loaded" in str(error)
            else:
                return
            await asyncio.sleep(0.1)
