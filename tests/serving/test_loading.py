"""Model folders that a shared engine must not load, and the one-line error of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from fastapi.testclient import TestClient
from huggingface_hub import constants
from pydantic import ValidationError
from safetensors.torch import save_file
from structlog.testing import capture_logs
from support.model_hub import ModelHub, files_of
from support.plain_models import TokenizingEngine, write_plain_model
from support.tiny_models import ROLES, manifest

from alpha_umi.serving import loading
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.assembly import role_context
from alpha_umi.serving.host import CHAT_CANARY
from alpha_umi.serving.loading import load_folders, load_role, load_shared
from alpha_umi.serving.manifest import (
    DigestMismatch,
    ManifestError,
    ManifestUnreadable,
    UnsafeWeights,
    load_manifest,
    write_manifest,
)
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import Rule, ScriptedEngine
from alpha_umi.serving.settings import RoleSettings, UnusableSettings
from alpha_umi.serving.shared import EngineView
from alpha_umi.serving.weights.adapters import check_adapter
from alpha_umi.serving.weights.errors import AdapterUnusable
from services.planner import create_router as planner_router


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A backbone and three adapters that belong together."""
    write_model(tmp_path / "backbone", "model.safetensors")
    write_manifest(tmp_path / "backbone", manifest("backbone"))
    for role in ROLES:
        write_model(tmp_path / "adapters" / role, "adapter_model.safetensors")
        write_manifest(tmp_path / "adapters" / role, manifest(role))
    return tmp_path


def write_model(folder: Path, weights: str, *, width: int = 8, layer: int = 0) -> None:
    """One projection, or an adapter of it; `width` is the model's."""
    folder.mkdir(parents=True, exist_ok=True)
    module = f"model.layers.{layer}.self_attn.q_proj"
    if weights == "model.safetensors":
        tensors = {f"{module}.weight": torch.zeros(width, width)}
    else:
        factors = {"A": torch.zeros(2, width), "B": torch.zeros(width, 2)}
        tensors = {f"base_model.model.{module}.lora_{factor}.weight": value for factor, value in factors.items()}
        (folder / "adapter_config.json").write_text("{}")
    save_file(tensors, folder / weights)


def of_another_backbone(adapter: Path) -> None:
    write_manifest(adapter, manifest("caller", base="another"))


def of_other_weights(adapter: Path) -> None:
    write_manifest(adapter, manifest("caller").model_copy(update={"base_weights": {"model.safetensors": "0" * 64}}))


def of_a_narrower_backbone(adapter: Path) -> None:
    write_model(adapter, "adapter_model.safetensors", width=4)
    write_manifest(adapter, manifest("caller"))


def of_a_deeper_backbone(adapter: Path) -> None:
    write_model(adapter, "adapter_model.safetensors", layer=5)
    write_manifest(adapter, manifest("caller"))


def not_safetensors(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    write_manifest(adapter, manifest("caller"))


def of_another_role(adapter: Path) -> None:
    write_manifest(adapter, manifest("planner"))


def complete_model(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "model.safetensors")
    write_manifest(adapter, manifest("caller"))


def missing(adapter: Path) -> None:
    adapter.rename(adapter.with_name("elsewhere"))


def without_manifest(adapter: Path) -> None:
    (adapter / "alpha_umi.json").unlink()


def with_a_pickle(adapter: Path) -> None:
    (adapter / "training_args.bin").write_bytes(b"")


def damaged(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").write_bytes(b"wEights")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (of_another_backbone, AdapterUnusable, "base is 'another', but the backbone is 'tiny'"),
        (of_other_weights, AdapterUnusable, r"base_weights: .* other weights than .*backbone \(model\.safetensors\)"),
        (of_a_narrower_backbone, AdapterUnusable, r"lora_A\.weight is 2 x 4, but model\.layers\.0\..* is 8 x 8"),
        (of_a_deeper_backbone, AdapterUnusable, r"adapts model\.layers\.5\.self_attn\.q_proj, which the backbone in"),
        (not_safetensors, AdapterUnusable, "cannot be read as safetensors"),
        (of_another_role, AdapterUnusable, "role is 'planner', but the folder is for 'caller'"),
        (complete_model, AdapterUnusable, "files has no adapter_model.safetensors"),
        (missing, AdapterUnusable, "no such folder; the caller needs an adapter there"),
        (without_manifest, ManifestUnreadable, "a model folder needs this file"),
        (with_a_pickle, UnsafeWeights, "training_args.bin: this format can run code"),
        (damaged, DigestMismatch, "fetch or convert the model again"),
    ],
)
def test_an_adapter_that_must_not_be_served_is_refused(
    models: Path, spoil: Callable[[Path], None], error: type[ManifestError], message: str
) -> None:
    spoil(models / "adapters" / "caller")
    settings = RoleSettings(model=models / "backbone", adapters=models / "adapters")
    with pytest.raises(error, match=message) as caught:
        load_shared(ROLES, settings)
    assert "caller" in str(caught.value)


def test_an_adapter_that_fits_is_taken(models: Path) -> None:
    assert check_adapter(models / "adapters" / "caller", "caller", models / "backbone").name == "tiny-caller"


def test_a_model_is_served_with_its_manifest(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_vllm", lambda *_: ScriptedEngine([]))
    served = load_role("planner", RoleSettings(model=models / "backbone")).model
    assert served.manifest == load_manifest(models / "backbone")


def test_a_model_of_the_hub_is_served_with_its_commit(
    models: Path, model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_vllm", lambda *_: ScriptedEngine([Rule(["?"])]))
    commit = model_hub.add("org/tiny").commit(files_of(models / "backbone"))
    monkeypatch.setenv("ALPHA_UMI_ROLE_MODEL", "org/tiny@main")
    role = load_role("planner", RoleSettings())
    assert role.model.manifest == load_manifest(models / "backbone")
    application = create_role_application(role_context(role, RoleMetrics("planner"), 9, lambda: None), planner_router)
    with capture_logs() as logs, TestClient(application, "http://127.0.0.1") as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        (shown,) = client.get("/v1/models").json()["data"]
    assert shown["hub"] == [f"org/tiny@{commit}"]
    assert [line["hub"] for line in logs if line["event"] == "engine.ready"] == [[f"org/tiny@{commit}"]]


def test_adapters_of_the_hub_are_served_with_their_commit_and_the_backbones(
    models: Path, model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_vllm", lambda *_: ScriptedEngine([]))
    backbone = model_hub.add("org/tiny").commit(files_of(models / "backbone"))
    adapters = model_hub.add("org/adapters").commit(files_of(models / "adapters"), "v2")
    engines = load_shared(ROLES, RoleSettings(model="org/tiny", adapters="org/adapters@v2"))
    assert {engine.model.hub for engine in engines.values()} == {(f"org/tiny@{backbone}", f"org/adapters@{adapters}")}
    assert (
        load_shared(ROLES, RoleSettings(model=models / "backbone", adapters=models / "adapters"))["planner"].model.hub
        == ()
    )


def test_a_server_elsewhere_needs_no_weights_of_a_backbone(
    models: Path, model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_remote", lambda *_: ScriptedEngine([]))
    model_hub.add("org/tiny").commit(files_of(models / "backbone"))
    load_shared(ROLES, RoleSettings(engine="remote", model="org/tiny", adapters=models / "adapters"))
    assert not [*Path(constants.HF_HUB_CACHE).rglob("*.safetensors")]


def test_the_service_ends_with_one_line_on_a_model_that_the_hub_lacks(model_hub: ModelHub, free_port: int) -> None:
    environment = {
        "ALPHA_UMI_ROLE_PORT": str(free_port),
        "ALPHA_UMI_ROLE_MODEL": "org/tyni",
        "HF_ENDPOINT": constants.ENDPOINT,
        "HF_HOME": str(Path(constants.HF_HUB_CACHE).parent),
    }
    ended = start_shared(environment)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("shared: org/tyni: there is no such folder, and http://127.0.0.1:")


def test_a_backbone_whose_weights_are_elsewhere_is_not_compared(models: Path) -> None:
    of_a_deeper_backbone(models / "adapters" / "caller")
    (models / "backbone" / "model.safetensors").unlink()
    assert check_adapter(models / "adapters" / "caller", "caller", models / "backbone").name == "tiny-caller"


def test_a_shared_engine_needs_adapters(models: Path) -> None:
    with pytest.raises(UnusableSettings, match=r"ALPHA_UMI_ROLE_ADAPTERS is not set; .*ALPHA_UMI_ROLE_TEMPLATE=chat"):
        load_shared(ROLES, RoleSettings(model=models / "backbone"))


def test_the_service_ends_with_one_line(models: Path, free_port: int) -> None:
    of_another_backbone(models / "adapters" / "caller")
    environment = {
        "ALPHA_UMI_ROLE_PORT": str(free_port),
        "ALPHA_UMI_ROLE_MODEL": str(models / "backbone"),
        "ALPHA_UMI_ROLE_ADAPTERS": str(models / "adapters"),
    }
    ended = start_shared(environment)
    assert ended.returncode == 2
    assert ended.stderr.startswith("shared: ")
    assert len(ended.stderr.splitlines()) == 1
    assert "but the backbone is 'tiny'" in ended.stderr


def start_shared(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.shared"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_model_of_another_role_is_refused(models: Path) -> None:
    write_model(models / "caller", "model.safetensors")
    write_manifest(models / "caller", manifest("caller"))
    with pytest.raises(UnusableSettings, match="caller holds a caller, not a planner"):
        load_role("planner", RoleSettings(model=models / "caller"))


def counted_engines(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Records the folders of new engines."""
    made: list[Path] = []

    def engine(_: RoleSettings, folder: Path, __: int) -> ScriptedEngine:
        made.append(folder)
        return ScriptedEngine([])

    monkeypatch.setattr(loading, "_engine", engine)
    return made


def test_roles_with_one_folder_share_an_engine(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_engines(monkeypatch)
    backbone = models / "backbone"
    engines = load_folders(dict.fromkeys(ROLES, backbone), RoleSettings())
    assert made == [backbone]
    assert [role for role, engine in engines.items() if engine.model.role == role] == list(ROLES)
    assert {engine.model.name for engine in engines.values()} == {"tiny"}


def test_folders_of_their_own_have_engines_of_their_own(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = counted_engines(monkeypatch)
    folders = {role: models / "adapters" / role for role in ROLES}
    load_folders(folders, RoleSettings())
    assert made == list(folders.values())


def test_a_folder_of_another_role_is_named(models: Path) -> None:
    folders = dict.fromkeys(ROLES, models / "adapters" / "planner")
    with pytest.raises(UnusableSettings, match="adapters/planner holds a planner, not a caller"):
        load_folders(folders, RoleSettings())


@pytest.fixture
def plain(tmp_path: Path, embedded_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An instruct model without a manifest, in an engine that is scripted."""
    monkeypatch.setattr(loading, "_vllm", TokenizingEngine)
    return write_plain_model(tmp_path / "instruct", embedded_model)


def test_an_instruct_model_is_served_as_it_is(plain: Path) -> None:
    engine, model = load_role("planner", RoleSettings(model=plain, template="chat"))
    assert (model.name, model.template.name, model.manifest, engine.context) == ("instruct", "chat", None, 4_096)
    assert not model.thinking


def test_what_a_model_thinks_is_the_planners_rationale_if_set(plain: Path) -> None:
    engines = load_shared(ROLES, RoleSettings(model=plain, template="chat", thinking="rationale"))
    assert {role: engine.model.thinking for role, engine in engines.items()} == {
        "planner": True,
        "caller": False,
        "summarizer": False,
    }


def test_it_is_ready_when_it_knows_what_every_model_knows(plain: Path) -> None:
    role = load_role("planner", RoleSettings(model=plain, template="chat"))
    application = create_role_application(role_context(role, RoleMetrics("planner"), 9, lambda: None), planner_router)
    with TestClient(application, "http://127.0.0.1") as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        (shown,) = client.get("/v1/models").json()["data"]
    assert (shown["id"], shown["manifest"], shown["template"]) == ("instruct", None, "chat")
    assert not CHAT_CANARY.fits("Fluent nonsense about France.")


def test_an_instruct_model_of_the_hub_has_its_name(plain: Path, model_hub: ModelHub) -> None:
    commit = model_hub.add("org/instruct").commit(files_of(plain))
    model = load_role("planner", RoleSettings(model="org/instruct", template="chat")).model
    assert (model.name, model.hub) == ("org/instruct", (f"org/instruct@{commit}",))


def test_one_model_plays_all_roles_on_one_engine(plain: Path) -> None:
    engines = load_shared(ROLES, RoleSettings(model=plain, template="chat"))
    assert [engine.model.role for engine in engines.values()] == list(ROLES)
    assert len({id(cast(EngineView, engine.engine).shared) for engine in engines.values()}) == 1


def test_a_setting_wins_over_the_manifest(plain: Path) -> None:
    write_manifest(plain, manifest("backbone"))
    assert load_role("planner", RoleSettings(model=plain)).model.template.name == "toolbench-im-end"
    model = load_role("planner", RoleSettings(model=plain, template="chat")).model
    assert (model.template.name, model.name) == ("chat", "tiny")


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def without_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def with_a_damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def with_a_tokenizer_of_its_own(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["code.Own", null]}}')
    (folder / "tokenizer.json").rename(folder / "vocab.json")


def without_context(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_weights, "holds no weights"),
        (without_tokenizer, "has no tokenizer; one of these is needed: tokenizer.json"),
        (with_a_damaged_tokenizer, r"instruct: its tokenizer cannot be loaded \(.*; fetch the model again"),
        (with_a_tokenizer_of_its_own, r"instruct: its tokenizer cannot be loaded \(.*no code of its own"),
        (without_chat_template, "has no chat template, so it is no instruct model"),
        (without_context, "names no max_position_embeddings; set ALPHA_UMI_ROLE_MAX_MODEL_LEN"),
        (with_a_pickle, "training_args.bin: this format can run code"),
    ],
)
def test_what_cannot_be_served_as_it_is_is_refused(plain: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(plain)
    with pytest.raises((ManifestError, UnusableSettings), match=message):
        load_role("planner", RoleSettings(model=plain, template="chat"))


def test_without_the_template_a_manifest_is_needed(plain: Path) -> None:
    with pytest.raises(ManifestUnreadable, match=r"unless it is an instruct model .*ALPHA_UMI_ROLE_TEMPLATE=chat"):
        load_role("planner", RoleSettings(model=plain))


def test_the_service_ends_with_one_line_on_a_chat_template_that_loops(plain: Path, free_port: int) -> None:
    (plain / "chat_template.jinja").write_text("{{ 'x' * 99999999999 }}")
    environment = {
        "ALPHA_UMI_ROLE_PORT": str(free_port),
        "ALPHA_UMI_ROLE_MODEL": str(plain),
        "ALPHA_UMI_ROLE_TEMPLATE": "chat",
    }
    ended = start_shared(environment)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"shared: {plain}: its chat template takes more than 10 s")


@pytest.mark.parametrize(("name", "value"), [("template", "chatty"), ("thinking", "maybe")])
def test_a_setting_that_does_not_exist_is_named(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}\n.*(known: toolbench|'drop' or 'rationale')"):
        RoleSettings.model_validate({name: value})


def test_empty_settings_are_unset() -> None:
    names = ("template", "model", "adapters", "remote_url", "remote_model", "remote_key")
    settings = RoleSettings.model_validate(dict.fromkeys(names, ""))
    assert [getattr(settings, name) for name in names] == [None] * len(names)
