"""`models`: what is in the cache, and whether its files are the recorded ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.serving.manifest import CanaryText, ModelManifest, write_manifest

Invoke = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder in a cache of its own."""
    monkeypatch.setenv("ALPHA_UMI_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models" / "small"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    manifest = ModelManifest(
        name="small",
        role="planner",
        template="toolbench",
        context=4_096,
        base="small",
        canary=CanaryText(prompt="?", expected="!"),
        source="here",
    )
    write_manifest(folder, manifest)
    return folder


def test_models_are_listed(model: Path, invoke: Invoke) -> None:
    output = invoke("models", "list").stdout
    assert str(model) in output
    assert "small · planner · template toolbench · context 4,096" in output
    assert "no role service was started" in output


def test_whole_models_are_verified(model: Path, invoke: Invoke) -> None:
    assert invoke("models", "verify").exit_code == 0


def test_a_changed_file_is_found(model: Path, invoke: Invoke) -> None:
    (model / "model.safetensors").write_bytes(b"other weights")
    result = invoke("models", "verify")
    assert result.exit_code == 1
    assert "SHA-256 is" in result.stdout


def test_a_folder_that_is_being_built_is_not_a_model(model: Path, invoke: Invoke) -> None:
    model.rename(model.parent / ".small.partial")
    output = invoke("models", "list").stdout
    assert "partial" not in output
    assert str(model) not in output
