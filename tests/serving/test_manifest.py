"""Manifests: their content, and folders that must not be served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.serving.manifest import (
    MANIFEST_FILE,
    CanaryText,
    DigestMismatch,
    ManifestUnreadable,
    ModelManifest,
    UnsafeWeights,
    load_manifest,
    verify,
    write_manifest,
)

MANIFEST = ModelManifest(
    name="tiny",
    role="planner",
    template="toolbench",
    context=128,
    base="tiny",
    canary=CanaryText(prompt="1 + 1 =", expected=" 2"),
    source="written by a test",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_bytes(b"{}")
    write_manifest(tmp_path, MANIFEST)
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read_and_verified(folder: Path) -> None:
    manifest = verify(folder)
    assert manifest == load_manifest(folder)
    assert manifest.model_copy(update={"files": {}}) == MANIFEST
    assert manifest.files == {
        "config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "model.safetensors": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
    }


def test_a_changed_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"wEights")
    with pytest.raises(DigestMismatch, match=r"model\.safetensors: SHA-256 is .* convert the model again") as caught:
        verify(folder)
    assert caught.value.file == folder / "model.safetensors"


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(DigestMismatch, match=r"config\.json: cannot be read"):
        verify(folder)


def test_weights_that_a_server_elsewhere_has_may_be_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert verify(folder, weights=False) == load_manifest(folder)
    (folder / "model.safetensors").write_bytes(b"wEights")
    with pytest.raises(DigestMismatch):
        verify(folder, weights=False)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.PT", "original/weights.pth", "optimizer.pkl"])
def test_pickle_formats_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(UnsafeWeights, match="can run code") as caught:
        verify(folder)
    assert caught.value.file == folder / name
    with pytest.raises(UnsafeWeights):
        write_manifest(folder, MANIFEST)


def test_unrecorded_weights_are_refused(folder: Path) -> None:
    (folder / "model-00002.safetensors").write_bytes(b"more")
    with pytest.raises(UnsafeWeights, match="model-00002"):
        verify(folder)


def test_a_folder_without_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match=r"alpha_umi\.json: No such file"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"licence": "MIT"}, "licence: Extra inputs"),
        ({"role": "painter"}, "role: Input should be"),
        ({"context": 0}, "context: "),
        ({"canary": {"prompt": "1 + 1 ="}}, r"canary\.expected: Field required"),
        ({"canary": {"prompt": "1 + 1 =", "expected": " \n"}}, r"canary\.expected: String should match"),
        ({"files": {"../../secret": "0" * 64}}, r"files\."),
        ({"files": {"config.json": "abc"}}, r"files\.config\.json: "),
    ],
)
def test_a_bad_manifest_names_the_field(folder: Path, changes: dict[str, Any], fault: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ManifestUnreadable, match=fault):
        load_manifest(folder)


def test_a_manifest_that_is_not_json_says_so(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_bytes(b"\xff not json")
    with pytest.raises(ManifestUnreadable, match="document: Invalid JSON"):
        load_manifest(folder)


def test_a_manifest_omits_unknown_fields(folder: Path) -> None:
    """An earlier version refuses fields that it does not know."""
    written = json.loads((folder / MANIFEST_FILE).read_bytes())
    assert written.keys() == {*ModelManifest.model_fields} - {"trained_on", "template_digest", "base_weights", "hub"}


def test_what_a_model_was_trained_on_is_unknown_unless_it_says(folder: Path) -> None:
    assert load_manifest(folder).trained_on is None
    digest = "a" * 64
    write_manifest(folder, load_manifest(folder).model_copy(update={"trained_on": (digest,)}))
    assert load_manifest(folder).trained_on == (digest,)
