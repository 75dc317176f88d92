"""`models`: the models in the cache, and whether their files have the recorded digests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.plain_models import write_plain_model

from alpha_umi.serving.manifest import MANIFEST_FILE, CanaryText, ModelManifest, write_manifest
from cli.local import models
from cli.local.models import SHIPPED_MODELS
from cli.local.state import ROLES

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


@pytest.fixture(autouse=True)
def nothing_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the shipped models of the checkout."""
    monkeypatch.setattr(models, "SHIPPED_MODELS", tmp_path / "shipped")


def test_models_are_listed(model: Path, invoke: Invoke) -> None:
    output = invoke("models", "list").stdout
    assert str(model) in output
    assert "small · planner · template toolbench · context 4,096" in output
    assert "no role service was started" in output


def test_complete_models_are_verified(model: Path, invoke: Invoke) -> None:
    result = invoke("models", "verify")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "every file matches its digest" in result.stdout


def change_weights(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"other weights")


def remove_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def add_weights(model: Path) -> None:
    (model / "more.safetensors").write_bytes(b"more weights")


def add_pickle(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"code")


def remove_manifest(model: Path) -> None:
    (model / MANIFEST_FILE).unlink()


def break_manifest(model: Path) -> None:
    (model / MANIFEST_FILE).write_text("{")


def name_another_template(model: Path) -> None:
    path = model / MANIFEST_FILE
    path.write_text(path.read_text().replace('"toolbench"', '"chatty"'))


PROBLEMS = {
    change_weights: "model.safetensors: SHA-256 is",
    remove_weights: "model.safetensors: cannot be read (No such file or directory)",
    add_weights: "more.safetensors: alpha_umi.json does not list these weights",
    add_pickle: "pytorch_model.bin: this format can run code",
    remove_manifest: "alpha_umi.json: No such file or directory; a model folder needs this file",
    break_manifest: "alpha_umi.json: document: Invalid JSON",
    name_another_template: "template: this version has no chatty, only toolbench",
}


@pytest.mark.parametrize("spoil", PROBLEMS)
def test_unusable_models_are_reported(model: Path, invoke: Invoke, spoil: Callable[[Path], None]) -> None:
    other = model.with_name("sound")
    shutil.copytree(model, other)
    spoil(model)
    for home in ([], [str(model.parent)], [str(model.parent.parent)]):
        result = invoke("models", "verify", *home)
        assert result.exit_code == 1
        assert PROBLEMS[spoil] in result.stdout
        assert "1 of 2 models cannot be served as they are" in result.stderr
    listed = invoke("models", "list", str(model.parent))
    assert (listed.exit_code, str(model) in listed.stdout, str(other) in listed.stdout) == (0, True, True)


def test_an_instruct_model_is_verified_as_it_is(tmp_path: Path, embedded_model: Path, invoke: Invoke) -> None:
    folder = write_plain_model(tmp_path / "instruct", embedded_model)
    result = invoke("models", "verify", str(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "an instruct model without alpha_umi.json: no digest to compare its files with" in result.stdout
    (folder / "chat_template.jinja").unlink()
    result = invoke("models", "verify", str(tmp_path))
    assert result.exit_code == 1
    assert "has no chat template, so it is no instruct model" in result.stdout
    (folder / "tokenizer.json").write_text("{}")
    result = invoke("models", "verify", str(tmp_path))
    assert result.exit_code == 1
    assert "its tokenizer cannot be loaded" in result.stdout


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_folder_without_models_is_refused(tmp_path: Path, invoke: Invoke, command: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    result = invoke("models", command, str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{tmp_path}:thereisnomodelinit" in "".join(result.stderr.split())


def test_weights_below_a_model_are_its_own(model: Path, invoke: Invoke) -> None:
    (model / "more").mkdir()
    (model / "more" / "model.safetensors").write_bytes(b"more")
    result = invoke("models", "verify", str(model.parent))
    assert result.exit_code == 1
    assert "1 of 1 models" in result.stderr


@pytest.mark.parametrize("name", [".small.partial", "small.partial"])
def test_a_folder_that_is_being_built_is_not_a_model(model: Path, invoke: Invoke, name: str) -> None:
    built = model.rename(model.parent / name)
    (built / MANIFEST_FILE).unlink()
    output = invoke("models", "list").stdout
    assert "partial" not in output
    assert str(model) not in output


def test_the_models_that_ship_are_sound(invoke: Invoke) -> None:
    result = invoke("models", "verify", str(SHIPPED_MODELS))
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(f"alpha-umi-and-single-llm-{role}" in result.stdout for role in ROLES)
