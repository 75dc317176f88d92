"""A model in a number format that it overflows: its canary keeps the service from being ready."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from support.role_apps import role_host

from alpha_umi.contract.problems import ServiceError
from alpha_umi.serving.manifest import load_manifest, write_manifest
from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions
from alpha_umi.serving.weights.canary import write_canary

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400)]


@pytest.fixture
def overflowing_model(embedded_model: Path, tmp_path: Path) -> Path:
    """The same function of its input, written so that float16 overflows: wide up, narrow down again."""
    folder = tmp_path / "model"
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
    """Right in float32, nonsense in float16."""
    manifest = load_manifest(overflowing_model)
    assert write_canary(overflowing_model) == manifest.canary
    engine = VllmEngine(VllmOptions(overflowing_model, 512, dtype="float16", kv_cache_gib=0.25))
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
