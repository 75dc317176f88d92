"""`models convert`: its output for a converted model, and its refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.model_hub import ModelHub, files_of
from support.tiny_llama import PROMPT, SENTENCE, make_checkpoint

from alpha_umi.serving.manifest import MANIFEST_FILE, verify

Invoke = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("published") / "alpha-umi-caller-tiny")


def output_of(result: Any) -> str:
    """Both outputs on one line, without the line breaks of the terminal's width."""
    return " ".join((result.stdout + result.stderr).split())


def test_a_checkpoint_becomes_a_model(published: Path, tmp_path: Path, invoke: Invoke) -> None:
    target = tmp_path / "models" / "caller"
    options = ("--role", "caller", "--canary-prompt", PROMPT, "--base", "llama-2", "--origin", "a test, CC0")
    result = invoke("models", "convert", str(published), str(target), *options)
    assert result.exit_code == 0, output_of(result)
    assert "alpha-umi-caller-tiny · caller · template toolbench · context 512" in result.stdout
    manifest = verify(target)
    assert (manifest.role, manifest.base, manifest.source) == ("caller", "llama-2", "a test, CC0")
    assert repr(manifest.canary.expected) in result.stdout
    assert SENTENCE.startswith(manifest.canary.expected.strip())


def test_a_checkpoint_of_the_hub_becomes_a_model(
    published: Path, tmp_path: Path, invoke: Invoke, model_hub: ModelHub
) -> None:
    canary = ("--canary-prompt", PROMPT, "--canary-expected", SENTENCE)
    invoke("models", "convert", str(published), str(tmp_path / "first"), "--role", "caller", *canary)
    (tmp_path / "first" / MANIFEST_FILE).unlink()
    commit = model_hub.add("org/tiny-caller").commit(files_of(tmp_path / "first"))
    result = invoke("models", "convert", "org/tiny-caller", str(tmp_path / "second"), "--role", "caller", *canary)
    assert result.exit_code == 0, output_of(result)
    manifest = verify(tmp_path / "second")
    assert (manifest.name, manifest.source) == ("tiny-caller", f"converted from org/tiny-caller@{commit}")


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (("--role", "painter"), 2, "painter"),
        (("--role", "caller", "--template", "nonsense"), 2, "no template 'nonsense'; known: toolbench"),
        (("--role", "caller", "--canary-expected", "x"), 2, "--canary-expected needs --canary-prompt"),
        (("--role", "caller", "--context", "9999"), 1, "--context 9999 is more than the 512 tokens"),
    ],
)
def test_options_that_do_not_fit(
    published: Path, tmp_path: Path, invoke: Invoke, options: tuple[str, ...], code: int, expected: str
) -> None:
    result = invoke("models", "convert", str(published), str(tmp_path / "target"), *options)
    assert (result.exit_code, expected in output_of(result)) == (code, True), output_of(result)
    assert not (tmp_path / "target").exists()


def test_a_target_that_exists_and_a_checkpoint_with_code(published: Path, tmp_path: Path, invoke: Invoke) -> None:
    role = ("--role", "caller", "--canary-prompt", "x", "--canary-expected", "y")
    refused = invoke("models", "convert", str(published), str(tmp_path), *role)
    assert (refused.exit_code, "exists; name a folder that does not" in output_of(refused)) == (2, True)
    spoiled = Path(shutil.copytree(published, tmp_path / "spoiled"))
    shard = spoiled / "pytorch_model-00001-of-00002.bin"
    shard.write_bytes(b"cbuiltins\nprint\n(S'sprung'\ntR.")
    result = invoke("models", "convert", str(spoiled), str(tmp_path / "target"), *role)
    assert result.exit_code == 1
    assert f"{shard}: holds more than weights" in output_of(result)
    assert "sprung" not in output_of(result)
