"""The role models for a start: prepared in the user's cache where they are missing, with a progress bar.

A folder named in `ALPHA_UMI_ROLE_MODEL` is used for every role instead.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from rich.console import Console

from alpha_umi import telemetry
from alpha_umi.roles.turns import RoleName
from cli.errors import CommandError
from cli.services import ROOT, ModelFolders

# Role models that ship with the project.
SHIPPED_MODELS = ROOT / "models"


def ensure_models(
    console: Console, roles: Collection[RoleName], environment: Mapping[str, str] = os.environ
) -> ModelFolders:
    """The folder of each role's model. Converts and merges what is missing. Raises `CommandError`."""
    if own := environment.get("ALPHA_UMI_ROLE_MODEL"):
        folder = Path(own).absolute()
        return ModelFolders(dict.fromkeys(roles, folder))
    try:
        from alpha_umi.serving.manifest import ManifestError
        from alpha_umi.serving.weights import cache_folder, ensure_backbone, ensure_role_model, progress_bar
    except ImportError as error:
        raise CommandError(
            f"the package {error.name} is missing", remedy="install alpha-umi[serving,embedded,engine-cpu]"
        ) from error
    # Warnings of the library would otherwise come out as they please.
    telemetry.configure_logs(service="alpha-umi", form="console", level="WARNING")
    try:
        with progress_bar(console) as progress:
            cache = cache_folder()
            backbone = ensure_backbone(cache, progress)
            folders = {role: ensure_role_model(role, cache, SHIPPED_MODELS, backbone, progress) for role in roles}
    except ManifestError as error:
        raise CommandError(f"the models cannot be prepared: {error}") from error
    return ModelFolders(folders)
