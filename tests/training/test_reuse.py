"""A stage is copied from another run if that has trained it in the same way, and only then."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.tiny_training import World, write_config, write_data
from typer.testing import CliRunner

from cli.main import app
from training.errors import CannotWrite, RecordUnusable
from training.export import export_run
from training.loop.model import ADAPTER
from training.recipes.loading import load_config, load_variant
from training.records import ReusedFrom, read_stage, stage_folder
from training.run import RunRequest, train


def trained(world: World, output: Path, variant: str = "single-llm", **changed: Any) -> Path:
    request = RunRequest(load_variant(variant), load_config(str(world.config)), world.data, output)
    train(replace(request, **changed))
    return output


@pytest.fixture(scope="module")
def other(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another variant with the same first stage, which has dropout."""
    return trained(world, tmp_path_factory.mktemp("other"), "alpha-umi", stages=("global",))


def record(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((stage_folder(run, "global") / "stage.json").read_bytes())
    return document


def test_what_is_reused_is_what_would_have_been_trained(other: Path, world: World, tmp_path: Path) -> None:
    own, reused = trained(world, tmp_path / "own"), trained(world, tmp_path / "taken", reuse=other)
    weights = [(stage_folder(run, "global") / ADAPTER).read_bytes() for run in (own, reused)]
    assert weights[0] == weights[1]
    assert record(reused)["reused_from"] == {"variant": "alpha-umi", "stage": "global"}
    assert record(reused)["identity"] == record(own)["identity"]
    assert "reused_from" not in record(own)
    # The time that it took there counts in full.
    assert record(reused)["seconds"] == record(other)["seconds"] > 0
    assert (reused / "global" / "losses.jsonl").read_bytes() == (other / "global" / "losses.jsonl").read_bytes()
    costs = json.loads((reused / "costs.json").read_bytes())
    assert (costs["complete"], costs["stages"]["global"]["reused_from"]["variant"]) == (True, "alpha-umi")
    [made] = export_run(reused, tmp_path / "models")
    assert (made.manifest.role, "single-llm" in made.manifest.source) == ("backbone", True)


def test_a_bounded_stage_is_reused_by_a_run_that_is_bounded_to_its_tokens(world: World, tmp_path: Path) -> None:
    other = trained(world, tmp_path / "other", "alpha-umi", stages=("global",), max_tokens=4_000)
    bound = record(other)["tokens"]
    reused = trained(world, tmp_path / "taken", reuse=other, max_tokens=bound)
    assert (record(reused)["tokens"], "reused_from" in record(reused)) == (bound, True)
    assert record(reused)["identity"]["max_tokens"] == bound
    more = trained(world, tmp_path / "more", reuse=other, max_tokens=4_000)
    assert record(more)["tokens"] > bound
    assert "reused_from" not in record(more)


def test_records_of_older_versions_are_read(other: Path, tmp_path: Path) -> None:
    folder = stage_folder(shutil.copytree(other, tmp_path / "other"), "global")
    document = json.loads((folder / "stage.json").read_bytes())
    document["taken_over"] = {"variant": "alpha-umi", "stage": "global"}
    (folder / "stage.json").write_text(json.dumps(document))
    assert read_stage(folder).reused_from == ReusedFrom(variant="alpha-umi", stage="global")


@pytest.mark.parametrize("what", ["seed", "config", "data", "instructions", "start"])
def test_a_stage_that_is_another_is_trained(other: Path, world: World, tmp_path: Path, what: str) -> None:
    variant, changed = "single-llm", {}
    match what:
        case "seed":
            changed = {"seed": 1}
        case "config":
            lora = {"rank": 2, "alpha": 8}
            changed = {"config": load_config(str(write_config(tmp_path / "tiny.yaml", world.backbone, lora=lora)))}
        case "data":
            write_data(tmp_path / "data", trained=8)
            changed = {"data": tmp_path / "data"}
        case "instructions":
            variant, changed = "alpha-umi-without-reuse", {"stages": ("global",)}
        case "start":
            variant, changed = "multi-llm-one-stage", {"stages": ("planner",)}
    run = trained(world, tmp_path / "run", variant, reuse=other, **changed)
    [stage] = run.glob("*/model/stage.json")
    assert "reused_from" not in json.loads(stage.read_bytes())


@pytest.mark.parametrize("content", ["{", "[]", '{"steps": 3}', "\xff"])
def test_a_damaged_stage_is_not_reused(other: Path, world: World, tmp_path: Path, content: str) -> None:
    damaged = shutil.copytree(other, tmp_path / "other")
    place = stage_folder(damaged, "global") / "stage.json"
    place.write_text(content, encoding="latin-1")
    with pytest.raises(RecordUnusable, match=r"stage\.json cannot be read"):
        trained(world, tmp_path / "run", reuse=damaged)
    assert not (tmp_path / "run" / "global").exists()


def test_a_stage_without_its_losses_is_not_reused(other: Path, world: World, tmp_path: Path) -> None:
    damaged = shutil.copytree(other, tmp_path / "other")
    (damaged / "global" / "losses.jsonl").unlink()
    with pytest.raises(RecordUnusable, match=r"losses\.jsonl cannot be read: No such file") as refused:
        trained(world, tmp_path / "run", reuse=damaged)
    assert "omit --reuse" in (refused.value.remedy or "")


def test_a_stage_that_cannot_be_put_there(other: Path, world: World, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "global").write_text("in the way")
    with pytest.raises(CannotWrite, match=r"global.* cannot be written"):
        trained(world, tmp_path / "run", reuse=other)


def test_the_command(other: Path, world: World, tmp_path: Path) -> None:
    command = ["train", "single-llm", "--config", str(world.config), "--data", str(world.data)]
    reused = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "run"), "--reuse", str(other)])
    assert reused.exit_code == 0, reused.output
    assert "reused_from" in record(tmp_path / "run")
    refused = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "2"), "--reuse", str(tmp_path / "no")])
    assert refused.exit_code == 2
    assert "--reuse" in refused.output
