"""Exported model folders pass the checks of the services."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from support.tiny_training import World, convert_elsewhere, digests, write_config
from typer.testing import CliRunner

from alpha_umi.roles.template import load_template
from alpha_umi.serving.manifest import TemplateDiffers, load_manifest, sha256, verify
from alpha_umi.serving.weights.adapters import FAMILY, check_adapter, ensure_role_model
from alpha_umi.serving.weights.backbone import CONTEXT
from cli.local.models import role_folders
from cli.local.services import SINGLE
from cli.local.state import ROLES as SERVED
from cli.main import app
from training.errors import ExportRefused
from training.export import export_run
from training.loop.model import ADAPTER, load_model
from training.recipes.loading import load_config, load_variant
from training.run import RunRequest, train

MOST_BYTES = 12_000_000


def trained(world: World, output: Path, variant: str, config: Path | None = None, **more: Any) -> Path:
    train(RunRequest(load_variant(variant), load_config(str(config or world.config)), world.data, output, **more))
    return output


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the variant whose roles share two models."""
    return trained(world, tmp_path_factory.mktemp("run"), "two-components")


@pytest.fixture(scope="module")
def models(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported family of models."""
    home = tmp_path_factory.mktemp("models")
    export_run(run, home / FAMILY)
    return home


def test_the_services_take_the_adapters(models: Path, world: World, tmp_path: Path) -> None:
    for role in ("planner", "caller", "summarizer"):
        manifest = check_adapter(models / FAMILY / role, role, world.backbone)
        assert manifest.trained_on == tuple(sorted(digests()))
        assert (manifest.template, manifest.context, manifest.base) == ("toolbench-im-end", 4_096, "tiny")
        assert manifest.template_digest == load_template("toolbench-im-end").digest
        assert manifest.base_weights == {"model.safetensors": sha256(world.backbone / "model.safetensors")}
        assert "two-components" in manifest.source
        with safe_open(models / FAMILY / role / ADAPTER, framework="pt") as file:
            assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
    settings = json.loads((models / FAMILY / "caller" / "adapter_config.json").read_bytes())
    assert (settings["r"], settings["base_model_name_or_path"]) == (4, None)
    merged = ensure_role_model("caller", tmp_path, models, world.backbone)
    assert load_manifest(merged).canary == load_manifest(models / FAMILY / "caller").canary


def test_whoever_reads_the_folder_reads_the_weights(models: Path) -> None:
    folder = models / FAMILY / "caller"
    others_read = {path.name: path.stat().st_mode & 0o044 for path in folder.iterdir()}
    assert set(others_read.values()) == {folder.stat().st_mode & 0o044}


def test_single_llm_is_exported_beside_the_three(models: Path, world: World, tmp_path: Path) -> None:
    together = shutil.copytree(models / FAMILY, tmp_path / "together")
    (single,) = export_run(trained(world, tmp_path / "single", "single-llm"), together)
    assert single.folder == together / "backbone"
    assert role_folders(together, (*SERVED, SINGLE)).keys() == {"planner", "caller", "summarizer", "backbone"}


def test_a_merged_export_is_the_adapter_on_the_backbone(run: Path, models: Path, world: World, tmp_path: Path) -> None:
    export_run(run, tmp_path / FAMILY, merged=True)
    own = ensure_role_model("planner", tmp_path / "cache", models, world.backbone)
    given = ensure_role_model("planner", tmp_path / "cache", tmp_path, world.backbone)
    assert given == tmp_path / FAMILY / "planner"
    assert (own / "model.safetensors").read_bytes() == (given / "model.safetensors").read_bytes()


def test_full_fine_tuning_is_exported_as_full_models(world: World, tmp_path: Path) -> None:
    config = write_config(tmp_path / "full.yaml", world.backbone, lora=None)
    [made] = export_run(trained(world, tmp_path / "run", "single-llm", config), tmp_path / "models")
    assert made.folder == tmp_path / "models" / "backbone"
    assert verify(made.folder).role == "backbone"
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= made.manifest.files.keys()
    assert "stage.json" not in made.manifest.files


def _spoil(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = run / "run.json"
    document = json.loads(path.read_bytes())
    change(document["identity"])
    path.write_text(json.dumps(document))


def _another_template(identity: dict[str, Any]) -> None:
    identity["template_digest"] = "0" * 64


def _another_backbone(identity: dict[str, Any]) -> None:
    identity["backbone"]["files"]["model.safetensors"] = "0" * 64


def test_a_run_is_exported_where_its_backbone_was_converted_again(run: Path, world: World, tmp_path: Path) -> None:
    backbone = Path(shutil.copytree(world.backbone, tmp_path / "backbone"))
    convert_elsewhere(backbone)
    own = Path(shutil.copytree(run, tmp_path / "run"))
    _spoil(own, lambda identity: identity["config"].update(backbone=str(backbone)))
    assert [made.folder.name for made in export_run(own, tmp_path / "models")] == ["planner", "caller", "summarizer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [(_another_template, "template toolbench-im-end has changed"), (_another_backbone, "not the one that the run was")],
)
def test_what_does_not_go_with_the_services_is_refused(
    run: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    _spoil(tmp_path, change)
    with pytest.raises(ExportRefused, match=message):
        export_run(tmp_path, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_services_refuse_a_template_that_changed_after_the_export(
    models: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alpha_umi.roles.template import Template

    monkeypatch.setattr(Template, "digest", property(lambda self: "0" * 64))
    with pytest.raises(TemplateDiffers, match="template_digest: the model was trained in another toolbench-im-end"):
        check_adapter(models / FAMILY / "caller", "caller", world.backbone)


def test_a_run_that_is_not_complete(world: World, tmp_path: Path) -> None:
    trained(world, tmp_path / "run", "alpha-umi", stages=("global", "planner"))
    with pytest.raises(ExportRefused, match=r"caller/model/stage\.json cannot be read"):
        export_run(tmp_path / "run", tmp_path / "models")
    with pytest.raises(ExportRefused, match=r"run\.json cannot be read"):
        export_run(tmp_path / "nowhere", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_command_that_failed_at_a_later_role_can_be_given_again(run: Path, tmp_path: Path) -> None:
    own, target = shutil.copytree(run, tmp_path / "run"), tmp_path / "models"
    *_, last = load_variant("two-components").stages
    adapter = own / last.name / "model" / ADAPTER
    content = adapter.read_bytes()
    adapter.write_bytes(content[: len(content) // 2])
    with pytest.raises(ExportRefused, match=r"adapter_model\.safetensors cannot be read"):
        export_run(own, target)
    assert not target.exists()
    adapter.write_bytes(content)
    # What a killed command leaves.
    (target / ".export.partial" / "planner").mkdir(parents=True)
    assert len(export_run(own, target)) == 3
    assert sorted(path.name for path in target.iterdir()) == ["caller", "planner", "summarizer"]


def test_a_place_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    target = str(tmp_path / "file" / "models")
    made = CliRunner().invoke(app, ["train", "export", str(run), "--output", target], env={"COLUMNS": "1000"})
    assert made.exit_code == 1, made.output
    assert f"{target} cannot be written" in made.stderr


def test_the_commands(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "models"
    made = CliRunner().invoke(app, ["train", "export", str(run), "--output", str(target)])
    assert made.exit_code == 0, made.output
    assert "tiny-two-components-planner · planner · template toolbench-im-end" in made.output
    again = CliRunner().invoke(app, ["train", "export", str(run), "--output", str(target)])
    assert again.exit_code == 2
    assert "planner exists" in again.output.replace("\n", " ")
    listed = CliRunner().invoke(app, ["models", "list", str(target)])
    assert f"trained on {len(digests())} instructions" in listed.output
    assert CliRunner().invoke(app, ["models", "verify", str(target)]).exit_code == 0
    with (target / "caller" / ADAPTER).open("ab") as file:
        file.write(b"x")
    changed = CliRunner().invoke(app, ["models", "verify", str(target)])
    assert changed.exit_code == 1
    assert "SHA-256 is" in changed.output


def test_an_adapter_of_the_small_backbone_is_small_enough(embedded_model: Path) -> None:
    """Rank 16 on all linear layers, two bytes a number."""
    config = load_config("smollm2-135m")
    assert config.lora is not None
    assert (config.lora.rank, config.lora.layers) == (16, "all-linear")
    assert config.context <= CONTEXT
    model = load_model(config, embedded_model, None, seed=0, bf16=True)
    numbers = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert 9_000_000 < 2 * numbers < MOST_BYTES
