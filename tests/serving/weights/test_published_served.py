"""A converted checkpoint, served: the planner service becomes ready, so the canary passed, and decides."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from support.processes import service_process, wait_ready
from support.tiny_llama import PROMPT, make_checkpoint

from alpha_umi.serving.weights.published import ConversionOptions, convert_checkpoint

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

WANTED = ConversionOptions("tiny-planner", "planner", "toolbench", "made by a test", canary_prompt=PROMPT)


def test_the_planner_service_starts_on_it(tmp_path: Path, free_port: int) -> None:
    model = tmp_path / "planner"
    # A head of 64 numbers, which every attention kernel knows.
    convert_checkpoint(make_checkpoint(tmp_path / "published", hidden_size=128), model, WANTED)
    environment = {
        "ALPHA_UMI_ROLE_PORT": str(free_port),
        "ALPHA_UMI_ROLE_MODEL": str(model),
        "ALPHA_UMI_ROLE_KV_CACHE_GIB": "0.1",
    }
    address = f"http://127.0.0.1:{free_port}"
    with service_process("services.planner", environment) as process:
        wait_ready(address, process)
        (served,) = httpx.get(f"{address}/v1/models", timeout=10).json()["data"]
        body = {
            "tools": [{"name": "capital_of", "parameters": {"type": "object"}}],
            "history": [{"role": "user", "content": "What is the capital of France?"}],
            "max_tokens": 16,
        }
        answer = httpx.post(f"{address}/v1/plan", json=body, timeout=60)
    assert (served["id"], served["template"], served["max_model_len"]) == ("tiny-planner", "toolbench", 512)
    assert answer.status_code == 200, answer.text
    assert answer.json()["next"] in ("caller", "conclusion", "give up")
