"""Variants and configs of the project, and the errors of invalid files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.model_hub import ModelHub, files_of
from support.tiny_training import World, write_config

from alpha_umi.serving.manifest import load_manifest
from alpha_umi.serving.weights.hub import hub_reference
from training.errors import BackboneUnusable, RecipeUnusable
from training.loop import model
from training.loop.model import backbone_of, uses_bf16
from training.recipes.loading import CONFIGS, VARIANTS, load_config, load_variant, require_settings, shipped
from training.recipes.model import BACKBONE, numbers

ONE_SCREEN = 24
STAGE = {"name": "global", "data": ["backbone"], "settings": "global", "serves": ["backbone"]}
VARIANT = {"name": "own", "about": "a test", "stages": [STAGE]}


def test_a_backbone_is_a_hub_id(world: World, model_hub: ModelHub) -> None:
    commit = model_hub.add("org/tiny").commit(files_of(world.backbone))
    config = load_config(str(world.config))
    folder, manifest = backbone_of(config.model_copy(update={"backbone": "org/tiny@main"}))
    assert hub_reference(folder) == f"org/tiny@{commit}"
    assert manifest == load_manifest(world.backbone)
    with pytest.raises(BackboneUnusable, match="no such revision of this model; name a branch"):
        backbone_of(config.model_copy(update={"backbone": "org/tiny@v9"}))


def test_the_variants_of_the_paper_and_that_of_the_shipped_models_ship() -> None:
    assert shipped(VARIANTS) == [
        "alpha-umi",
        "alpha-umi-and-single-llm",
        "alpha-umi-without-reuse",
        "multi-llm-one-stage",
        "single-llm",
        "single-llm-multi-task",
        "two-components",
    ]


@pytest.mark.parametrize("config", shipped(CONFIGS))
@pytest.mark.parametrize("variant", shipped(VARIANTS))
def test_every_variant_goes_with_every_config(variant: str, config: str) -> None:
    chosen = load_variant(variant)
    require_settings(chosen, load_config(config))
    assert chosen.name == variant
    assert len((VARIANTS / f"{variant}.yaml").read_text().splitlines()) <= ONE_SCREEN


def test_reuse_is_what_the_halves_differ_in() -> None:
    with_reuse, without = load_variant("alpha-umi"), load_variant("alpha-umi-without-reuse")
    assert [stage.instructions for stage in with_reuse.stages] == ["all"] * 4
    assert [stage.instructions for stage in without.stages] == ["first-half", *["second-half"] * 3]
    assert [stage.start for stage in without.stages] == [BACKBONE, "global", "global", "global"]


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_the_numbers_of_the_paper(size: str) -> None:
    config = load_config(f"paper-{size}")
    recipes = {
        stage.name: (made.learning_rate, made.epochs, made.batch, made.warmup, made.schedule)
        for stage in load_variant("alpha-umi").stages
        for made in [numbers(stage, config)]
    }
    assert recipes == {
        "global": (5e-5, 2, 48, 0.4, "cosine"),
        "planner": (1e-5, 1, 48, 0.2, "cosine"),
        "caller": (1e-5, 1, 48, 0.2, "cosine"),
        "summarizer": (1e-5, 2, 48, 0.4, "cosine"),
    }
    assert (config.context, config.parallel, config.lora) == (4096, "shard", None)


def test_a_stage_may_override_numbers(tmp_path: Path) -> None:
    path = _written(tmp_path, {**VARIANT, "stages": [{**STAGE, "override": {"epochs": 5}}]})
    [stage] = load_variant(str(path)).stages
    made = numbers(stage, load_config("paper-7b"))
    assert (made.epochs, made.learning_rate) == (5, 5e-5)


def test_an_unknown_name_is_guessed() -> None:
    with pytest.raises(RecipeUnusable, match="no variant 'alpa-umi'") as raised:
        load_variant("alpa-umi")
    assert str(raised.value.remedy).startswith("did you mean alpha-umi?")
    with pytest.raises(RecipeUnusable, match="no config 'gpt'"):
        load_config("gpt")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stages": []}, "stages: "),
        ({"stages": [{"name": "x", "data": ["backbone"]}]}, "stages.0.settings: Field required"),
        ({"stages": [{**STAGE, "data": ["driver"]}]}, "stages.0.data.0: "),
        ({"stages": [{**STAGE, "epoch": 3}]}, "stages.0.epoch: Extra inputs"),
        ({"stages": [{**STAGE, "data": ["planner", "planner"]}]}, "stages.0.data: repeats a role"),
        ({"stages": [{**STAGE, "from": "local"}]}, "global is from 'local'; known before it: \\['backbone'\\]"),
        ({"stages": [STAGE, STAGE]}, "'global' is repeated"),
        ({"stages": [{**STAGE, "serves": []}]}, "each role that is served"),
        ({"stages": [STAGE, {**STAGE, "name": "more"}]}, "exactly one stage that serves it"),
    ],
)
def test_errors_in_a_variant_name_the_field(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    path = _written(tmp_path, {**VARIANT, **changed})
    with pytest.raises(RecipeUnusable, match=f"{path}: .*{message}"):
        load_variant(str(path))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"template": "chatty"}, "template: no template 'chatty'"),
        ({"context": None}, "context: Field required"),
        ({"lora": {"rank": 0, "alpha": 1}}, "lora.rank: "),
        ({"settings": {"global": {"epochs": float("inf")}}}, "settings.global.epochs: Input should be a finite number"),
        ({"settings": {"global": {"learning_rate": 3}}}, "settings.global.learning_rate: .*settings.global.epochs: "),
        ({"precision": "int8"}, "precision: "),
    ],
)
def test_errors_in_a_config_name_the_field(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    fields = yaml.safe_load((CONFIGS / "smollm2-135m.yaml").read_text()) | changed
    path = _written(tmp_path, {name: value for name, value in fields.items() if value is not None})
    with pytest.raises(RecipeUnusable, match=f"{path}: .*{message}"):
        load_config(str(path))


def test_settings_that_the_config_lacks(tmp_path: Path) -> None:
    variant = load_variant(str(_written(tmp_path, {**VARIANT, "stages": [{**STAGE, "settings": "fast"}]})))
    with pytest.raises(RecipeUnusable, match=r"stages.0.settings is 'fast'"):
        require_settings(variant, load_config("paper-7b"))


@pytest.mark.parametrize(("text", "message"), [("a: [", "is not YAML"), (None, "cannot be read")])
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "own.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeUnusable, match=f"{path} {message}"):
        load_variant(str(path))


def _written(folder: Path, content: object) -> Path:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(
    ("flags", "precision", "used"),
    [
        ({"avx512f", "avx512_bf16"}, "auto", True),
        ({"amx_bf16"}, "auto", True),
        ({"avx512f"}, "auto", False),
        ({"avx512f"}, "bf16", True),
        ({"avx512f", "avx512_bf16"}, "float32", False),
    ],
)
def test_a_processor_multiplies_in_bfloat16_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: set[str], precision: str, used: bool
) -> None:
    monkeypatch.setattr(model, "read_cpu_flags", lambda: frozenset(flags))
    config = load_config(str(write_config(tmp_path / "precise.yaml", tmp_path / "backbone", precision=precision)))
    assert uses_bf16(config, "cpu") is used
