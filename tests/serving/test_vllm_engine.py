"""The vLLM engine without vLLM: a load that fails after the stop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from alpha_umi.serving import vllm_engine
from alpha_umi.serving.vllm_engine import Speculation, VllmEngine, VllmOptions


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_loading_that_fails_after_the_end_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    loading, ended = threading.Event(), threading.Event()

    def create(*_: object) -> None:
        loading.set()
        ended.wait(10)
        raise RuntimeError("the engine process was killed")

    monkeypatch.setattr(vllm_engine, "_create", create)
    monkeypatch.setattr(vllm_engine, "PromptTokenizer", lambda _: None)
    engine = VllmEngine(VllmOptions(Path("model"), 1_024))

    async def start_and_leave() -> None:
        starting = asyncio.create_task(engine.start())
        await asyncio.to_thread(loading.wait, 10)
        starting.cancel()
        await engine.stop()

    asyncio.run(start_and_leave())
    [owner] = [thread for thread in threading.enumerate() if thread.name == "engine-owner"]
    ended.set()
    owner.join(10)
    assert not owner.is_alive()


@pytest.mark.parametrize(
    ("speculation", "gpu", "adapters", "arguments"),
    [
        ("auto", False, {}, {"speculative_config", "worker_cls"}),
        ("ngram", True, {}, {"speculative_config"}),
        ("auto", True, {}, set()),
        ("auto", False, {"planner": Path("planner")}, set()),
        ("off", False, {}, set()),
    ],
)
def test_tokens_are_proposed_where_it_was_measured(
    speculation: Speculation, gpu: bool, adapters: dict[str, Path], arguments: set[str]
) -> None:
    options = VllmOptions(Path("model"), 1_024, adapters=adapters, speculation=speculation)
    assert vllm_engine._speculation_arguments(options, gpu=gpu).keys() == arguments
