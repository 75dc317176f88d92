"""The role models for a start: prepared in the user's cache where they are missing, with a progress bar.

A folder that the user names with the roles' models is used instead, else one named in `ALPHA_UMI_ROLE_MODEL` for every
role. The user is told of roles that the untuned backbone plays, as in an installation without the shipped models.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from cli.errors import CommandError, UsageProblem
from cli.plain_text import plain_line
from cli.services import ROOT, ModelFolders

if TYPE_CHECKING:
    from alpha_umi.serving.weights import Progress

# Role models that ship with the project.
SHIPPED_MODELS = ROOT / "models"


def ensure_models(
    console: Console,
    roles: Collection[Role],
    named: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ModelFolders:
    """The folder of each role's model. Converts and merges what is missing.

    `named` is a folder with one for each role, a model or an adapter. Raises `CommandError`.
    """
    folders = {} if named is None else role_folders(named, roles)
    if not folders and (own := environment.get("ALPHA_UMI_ROLE_MODEL")):
        folder = Path(own).absolute()
        return ModelFolders(dict.fromkeys(roles, folder))
    try:
        from alpha_umi.serving.manifest import ManifestError
        from alpha_umi.serving.weights import cache_folder, progress_bar
    except ImportError as error:
        raise CommandError(
            f"the package {error.name} is missing", remedy="install alpha-umi[serving,embedded,engine-cpu]"
        ) from error
    # Warnings of the library would otherwise come out as they please.
    telemetry.configure_logs(service="alpha-umi", form="console", level="WARNING")
    try:
        with progress_bar(console) as progress:
            prepared, untuned = _prepared(roles, folders, cache_folder(), progress)
    except ManifestError as error:
        raise CommandError(f"the models cannot be prepared: {error}") from error
    if untuned:
        _tell_untuned(console, untuned)
    return ModelFolders(prepared)


def role_folders(named: Path, roles: Collection[Role]) -> dict[Role, Path]:
    """The folders in one that are called after the roles. Raises `UsageProblem` where one is missing."""
    folders = {role: named.absolute() / role for role in roles}
    missing = [role for role, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise UsageProblem(
            f"--models: {named} has no folder {' and no folder '.join(missing)}",
            remedy=f"it needs a model folder for each role: {', '.join(roles)}",
        )
    # Two names of one folder are one model.
    return {role: folder.resolve() for role, folder in folders.items()}


def _tell_untuned(console: Console, roles: Sequence[Role]) -> None:
    from alpha_umi.serving.weights.adapters import FAMILY

    whose = f"no role model of {', '.join(roles)} in {plain_line(str(SHIPPED_MODELS / FAMILY))}"
    console.print(
        Text(f"warning: {whose}: the untuned backbone plays {'it' if len(roles) == 1 else 'them'}", style="yellow"),
        soft_wrap=True,
    )


def _prepared(
    roles: Collection[Role], named: Mapping[Role, Path], cache: Path, progress: Progress
) -> tuple[dict[Role, Path], list[Role]]:
    """The folder of each role's model, and those of the roles that have none but the backbone."""
    from alpha_umi.serving.weights import ensure_backbone, ensure_named_model, ensure_role_model

    if named:
        return {role: ensure_named_model(role, folder, cache, progress) for role, folder in named.items()}, []
    backbone = ensure_backbone(cache, progress)
    prepared = {role: ensure_role_model(role, cache, SHIPPED_MODELS, backbone, progress) for role in roles}
    return prepared, [role for role, folder in prepared.items() if folder == backbone]
