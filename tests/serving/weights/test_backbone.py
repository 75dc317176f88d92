"""The embedded backbone, really converted into the user's cache, so that only the first run is slow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from alpha_umi.serving.manifest import sha256, verify
from alpha_umi.serving.weights import backbone_folder, cache_folder, ensure_backbone
from alpha_umi.serving.weights.backbone import find_gguf
from alpha_umi.serving.weights.canary import write_canary


@pytest.fixture(scope="module")
def backbone() -> Path:
    return ensure_backbone(cache_folder())


def test_it_is_complete_and_checked(backbone: Path) -> None:
    manifest = verify(backbone)
    assert (manifest.name, manifest.role, manifest.context) == ("smollm2-135m-instruct", "backbone", 8_192)
    assert manifest.template == "toolbench-im-end"
    assert "Apache-2.0" in manifest.source
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"} <= manifest.files.keys()
    # Equal to what transformers' own GGUF loader gives, tensor by tensor, rounded to bfloat16.
    assert manifest.files["model.safetensors"].startswith("7ef915c9bf9d94d8")


def test_it_knows_the_capital_of_france(backbone: Path) -> None:
    canary = write_canary(backbone)
    assert canary.expected == " The capital of France is Paris.\n", "sure of every token"
    assert canary == verify(backbone).canary


def test_it_is_not_converted_twice(backbone: Path) -> None:
    steps: list[str] = []
    before = (backbone / "model.safetensors").stat()
    assert ensure_backbone(cache_folder(), lambda step, done: steps.append(step)) == backbone
    assert (backbone / "model.safetensors").stat().st_ino == before.st_ino
    assert steps == []


def test_turns_end_with_a_token_of_their_own(backbone: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(backbone, local_files_only=True)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer("Hello<|im_end|>")["input_ids"][-1] == tokenizer.eos_token_id == 2


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("  12", ["ĠĠ", "1", "2"]),
        ('"year":\n    2024', ['"', "year", '":', "ĊĠĠĠĠ", "2", "0", "2", "4"]),
        ("m ²", ["m", "Ġ", "Â²"]),
    ],
)
def test_digits_stand_by_themselves_as_in_its_training(backbone: Path, text: str, tokens: list[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(backbone, local_files_only=True)
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == tokens
    assert tokenizer.decode(ids) == text


def test_the_source_is_the_known_file() -> None:
    path = find_gguf()
    assert path.name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert sha256(path).startswith("b179c9523d0e6a0f")


def test_the_command_prints_the_folder(backbone: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alpha_umi.serving.weights"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{backbone_folder(cache_folder())}\n"


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    command = [sys.executable, "-m", "alpha_umi.serving.weights", "--cache", str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
