"""The models that `up` and `demo` serve, and the warning about roles without one; the backbone is the real one."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.model_hub import ModelHub
from support.plain_models import write_plain_model

from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import load_manifest, write_manifest
from alpha_umi.serving.weights.adapters import FAMILY
from alpha_umi.serving.weights.hub import hub_reference
from cli.errors import CommandError
from cli.local import models
from cli.local.models import ensure_models
from cli.local.services import Ports, service_table
from cli.local.state import ROLES, StateFolder


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the shipped models, empty."""
    monkeypatch.setattr(models, "SHIPPED_MODELS", tmp_path)
    return tmp_path / FAMILY


def ship(shipped: Path, role: Role, embedded_model: Path) -> Path:
    """Put a full model there that is trained for a role; it is never loaded."""
    folder = shipped / role
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder, load_manifest(embedded_model).model_copy(update={"role": role, "files": {}}))
    return folder


def prepared(roles: tuple[Role, ...] = ROLES) -> tuple[dict[Role, Path], str]:
    """The folder of each role, and the output."""
    output = StringIO()
    folders = ensure_models(Console(file=output, width=40), roles, environment={})
    # The progress bar leaves an empty line.
    return dict(folders.of_role), output.getvalue().strip("\n")


def test_a_warning_names_all_roles_of_the_untuned_backbone(shipped: Path, embedded_model: Path) -> None:
    folders, output = prepared()
    assert folders == dict.fromkeys(ROLES, embedded_model)
    assert output == (
        f"warning: no role model of planner, caller, summarizer in {shipped}: the untuned backbone plays them"
    )


def test_a_warning_names_the_one_role_without_a_model(shipped: Path, embedded_model: Path) -> None:
    trained = {role: ship(shipped, role, embedded_model) for role in ("planner", "summarizer")}
    folders, output = prepared()
    assert folders == {**trained, "caller": embedded_model}
    assert output == f"warning: no role model of caller in {shipped}: the untuned backbone plays it"


def test_a_model_of_the_hub_serves_every_role_from_its_snapshot(model_hub: ModelHub) -> None:
    commit = model_hub.add("org/tiny").commit({"model.safetensors": b"weights"})
    output = StringIO()
    environment = {"ALPHA_UMI_ROLE_MODEL": "org/tiny"}
    folders = ensure_models(Console(file=output, width=80), ROLES, environment=environment).of_role
    assert {hub_reference(folder) for folder in folders.values()} == {f"org/tiny@{commit}"}
    assert "Fetching org/tiny" in output.getvalue()
    assert "100%" in output.getvalue()


@pytest.mark.parametrize(("longest", "context"), [(2_048, "2048"), (32_768, "4096")])
def test_an_instruct_model_gets_no_longer_context_than_it_holds(
    tmp_path: Path, embedded_model: Path, longest: int, context: str
) -> None:
    folder = write_plain_model(tmp_path / "instruct", embedded_model)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": longest}))
    folders = ensure_models(Console(), ROLES, model=str(folder))
    roles, _ = service_table(
        Ports(tools=None, shared=True), folders, state=StateFolder(tmp_path), token="secret", tool_sources=None
    )
    assert roles.defaults["ALPHA_UMI_ROLE_MAX_MODEL_LEN"] == context


def test_a_folder_that_is_no_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"^--model: .*config.json: No such file"):
        ensure_models(Console(), ROLES, model=str(tmp_path))


def test_there_is_no_warning_if_each_role_has_its_model(shipped: Path, embedded_model: Path) -> None:
    for role in ROLES:
        ship(shipped, role, embedded_model)
    assert prepared()[1] == ""
