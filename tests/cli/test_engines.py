"""Which models `up` and `demo` find, and what they say of roles that have none; the backbone is the real one."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import load_manifest, write_manifest
from alpha_umi.serving.weights.adapters import FAMILY
from cli import engines
from cli.engines import ensure_models
from cli.services import ROLES


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the models that ship, without any."""
    monkeypatch.setattr(engines, "SHIPPED_MODELS", tmp_path)
    return tmp_path / FAMILY


def ship(shipped: Path, role: Role, embedded_model: Path) -> Path:
    """Put a whole model there that is trained for a role; nothing loads it here."""
    folder = shipped / role
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder, load_manifest(embedded_model).model_copy(update={"role": role, "files": {}}))
    return folder


def prepared(roles: tuple[Role, ...] = ROLES) -> tuple[dict[Role, Path], str]:
    """The folder of each role, and what the user read."""
    written = StringIO()
    found = ensure_models(Console(file=written, width=40), roles, environment={})
    # Where the bar would be on a terminal, an empty line is written.
    return dict(found.of_role), written.getvalue().strip("\n")


def test_the_user_is_told_that_the_untuned_backbone_plays_all_roles(shipped: Path, embedded_model: Path) -> None:
    folders, told = prepared()
    assert folders == dict.fromkeys(ROLES, embedded_model)
    assert told == (
        f"warning: no role model of planner, caller, summarizer in {shipped}: the untuned backbone plays them"
    )


def test_the_user_is_told_of_the_one_role_without_a_model(shipped: Path, embedded_model: Path) -> None:
    trained = {role: ship(shipped, role, embedded_model) for role in ("planner", "summarizer")}
    folders, told = prepared()
    assert folders == {**trained, "caller": embedded_model}
    assert told == f"warning: no role model of caller in {shipped}: the untuned backbone plays it"


def test_nothing_is_told_where_each_role_has_its_model(shipped: Path, embedded_model: Path) -> None:
    for role in ROLES:
        ship(shipped, role, embedded_model)
    assert prepared()[1] == ""
