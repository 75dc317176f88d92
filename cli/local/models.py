"""The models of this machine: those that `up` serves, the folders in the cache, and what running services report.

`up` serves the model of `--model` or else of `ALPHA_UMI_ROLE_MODEL` in every role, or the folder of `--models` (each
may be a hub id), else the shipped role models, which are converted and merged in the user's cache. A warning names
roles that the untuned backbone plays.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from alpha_umi import telemetry
from alpha_umi.client.http import reason_of
from alpha_umi.contract.roles import ModelInfo, ModelList
from alpha_umi.contract.validation import explain
from alpha_umi.plain_text import plain_line
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import MANIFEST_FILE, ManifestError, ModelManifest, load_manifest, verify
from alpha_umi.serving.weights.checkpoint import CONFIG, read_plain_model
from alpha_umi.serving.weights.hub import is_hub_id, locate
from alpha_umi.serving.weights.model_folder import cache_folder
from cli.errors import CommandError, UsageProblem
from cli.local.services import CONTEXT, ROOT, SINGLE, ModelFolders
from cli.local.state import ROLES, SHARED, RunRecord, ServiceRecord

if TYPE_CHECKING:
    from alpha_umi.serving.weights import Progress

# The template of models that were trained for no role.
CHAT = "chat"
# Role models that ship with the project.
SHIPPED_MODELS = ROOT / "models"


def ensure_models(
    console: Console,
    roles: Collection[Role],
    named: str | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    model: str | None = None,
) -> ModelFolders:
    """The folder of each role's model; missing ones are fetched, converted and merged.

    `named` is a folder or hub id with a model or adapter for each role, `model` one of an instruct model that plays all
    roles as it is. Raises `CommandError`.
    """
    if model is not None:
        folder = located(model, console)
        try:
            return ModelFolders(dict.fromkeys(roles, folder), template=CHAT, context=usual_context(folder))
        except ManifestError as error:
            raise CommandError(f"--model: {error}") from error
    folders = {} if named is None else role_folders(located(named, console, roles), roles)
    if not folders and (own := environment.get("ALPHA_UMI_ROLE_MODEL")):
        return ModelFolders(dict.fromkeys(roles, located(own, console)))
    try:
        from alpha_umi.serving.weights import progress_bar
    except ImportError as error:
        raise CommandError(
            f"the package {error.name} is missing", remedy="install alpha-umi[serving,embedded,engine-cpu]"
        ) from error
    # The library's warnings follow this format, too.
    telemetry.configure_logs(service="alpha-umi", form="console", level="WARNING")
    try:
        with progress_bar(console) as progress:
            prepared, untuned = _prepared(roles, folders, cache_folder(), progress)
    except ManifestError as error:
        raise CommandError(f"the models cannot be prepared: {error}") from error
    if untuned:
        _warn_untuned(console, untuned)
    return ModelFolders(prepared)


def usual_context(folder: Path) -> int:
    """The context that commands give a model, in tokens: less than usual if the model holds less.

    Raises `ManifestError`.
    """
    has_manifest = (folder / MANIFEST_FILE).exists()
    longest = load_manifest(folder).context if has_manifest else read_plain_model(folder, weights=False).context
    return min(CONTEXT, longest or CONTEXT)


def located(reference: str, console: Console, roles: Collection[Role] = ()) -> Path:
    """The absolute folder of a path or a hub id, whose files are fetched with a progress bar.

    `roles`: the subfolders that a hub's files are in. Raises `CommandError` for a hub id that gives no model.
    """
    if not is_hub_id(reference):
        return Path(reference).absolute()
    from alpha_umi.serving.weights import WeightsError, progress_bar

    try:
        with progress_bar(console) as progress:
            return locate(reference, roles=roles, progress=progress)
    except WeightsError as error:
        raise CommandError(str(error)) from error


def role_folders(named: Path, roles: Collection[Role]) -> dict[Role, Path]:
    """The folders named after the roles. Raises `UsageProblem` if one is missing."""
    folders = {role: named.absolute() / role for role in roles}
    missing = [role for role, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise UsageProblem(
            f"--models: {named} has no folder {' and no folder '.join(missing)}",
            remedy=f"it needs a model folder for each role: {', '.join(roles)}",
        )
    # Two names of one folder are one model.
    return {role: folder.resolve() for role, folder in folders.items()}


def _warn_untuned(console: Console, roles: Sequence[Role]) -> None:
    from alpha_umi.serving.weights.adapters import FAMILY

    whose = f"no role model of {', '.join(roles)} in {plain_line(str(SHIPPED_MODELS / FAMILY))}"
    console.print(
        Text(f"warning: {whose}: the untuned backbone plays {'it' if len(roles) == 1 else 'them'}", style="yellow"),
        soft_wrap=True,
    )


def _prepared(
    roles: Collection[Role], named: Mapping[Role, Path], cache: Path, progress: Progress
) -> tuple[dict[Role, Path], list[Role]]:
    """The folder of each role's model, and the roles that only have the backbone."""
    from alpha_umi.serving.weights import ensure_backbone, ensure_named_model, ensure_role_model

    if named:
        return {role: ensure_named_model(role, folder, cache, progress) for role, folder in named.items()}, []
    backbone = ensure_backbone(cache, progress)
    prepared = {role: ensure_role_model(role, cache, SHIPPED_MODELS, backbone, progress) for role in roles}
    return prepared, [role for role, folder in prepared.items() if folder == backbone]


TIMEOUT_S = 5.0
_LACKS = (
    f"an instruct model without {MANIFEST_FILE}: no digest to compare its files with, no recorded canary, not trained "
    "for a role; serve it with `alpha-umi up --model` or ALPHA_UMI_ROLE_TEMPLATE=chat"
)


@dataclass(frozen=True)
class ModelFolder:
    """A model folder. `problem` is the reason that it cannot be served, `lacks` what it is served without."""

    path: Path
    manifest: ModelManifest | None
    problem: str | None = None
    lacks: str | None = None

    @property
    def size(self) -> int:
        """Size of its files in bytes."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())


@dataclass(frozen=True)
class RunningModel:
    """The model that a role service reports, or why it reports none."""

    service: ServiceRecord
    model: ModelInfo | None
    problem: str | None = None


def find_models(home: Path | None = None) -> list[ModelFolder]:
    """Every model folder below `home` (by default the cache and the shipped models) with its manifest.

    Folders with weights but no manifest are included. Raises `CommandError` for a folder that does not exist or has no
    model, and for a user without a cache folder.
    """
    return [_read(path) for path in _folders(home)]


def verify_models(home: Path | None = None) -> list[ModelFolder]:
    """The same, with each file compared with the digest in its manifest. Raises `CommandError`."""
    return [_verified(path) for path in _folders(home)]


def running_models(run: RunRecord) -> list[RunningModel]:
    """The models of the running role services."""
    with httpx.Client(
        timeout=TIMEOUT_S, trust_env=False, headers={"Authorization": f"Bearer {run.role_token}"}
    ) as http:
        return [_running(service, http) for service in run.services if service.name in (*ROLES, SHARED, SINGLE)]


def _folders(only: Path | None) -> Iterator[Path]:
    if only is not None:
        if not only.is_dir():
            raise UsageProblem(f"{only}: the folder does not exist", remedy="name a folder with models")
        models = _models_below(only)
        if not models:
            raise UsageProblem(
                f"{only}: there is no model in it", remedy=f"name a folder with models; each has an {MANIFEST_FILE}"
            )
        yield from models
        return
    try:
        cached = cache_folder() / "models"
    except ManifestError as error:
        raise CommandError(str(error)) from error
    for home in (cached, SHIPPED_MODELS):
        if home.is_dir():
            yield from _models_below(home)


def _models_below(home: Path) -> list[Path]:
    """Folders with a manifest, and folders with weights but no manifest, which a service would refuse."""
    described = {path.parent for path in home.rglob(MANIFEST_FILE)}
    weights = {path.parent for path in home.rglob("*.safetensors")}
    # Weights in a subfolder of a model are checked against its manifest.
    bare = {path for path in weights if described.isdisjoint((path, *path.parents))}
    return sorted(path for path in described | bare if not _is_being_built(path.relative_to(home)))


def _is_being_built(inside: Path) -> bool:
    return any(part.startswith(".") or part.endswith(".partial") for part in inside.parts)


def _read(path: Path) -> ModelFolder:
    try:
        return ModelFolder(path, load_manifest(path))
    except ManifestError as error:
        return ModelFolder(path, None, str(error))


def _verified(path: Path) -> ModelFolder:
    try:
        return ModelFolder(path, verify(path))
    except ManifestError as error:
        if not (path / MANIFEST_FILE).exists() and (path / CONFIG).exists():
            return _verified_as_it_is(path)
        return ModelFolder(path, None, str(error))


def _verified_as_it_is(path: Path) -> ModelFolder:
    """An instruct model without a manifest, with the checks of a service that loads it."""
    from alpha_umi.serving.host import CHAT_CANARY
    from alpha_umi.serving.tokens import PromptTokenizer

    try:
        read_plain_model(path)
        PromptTokenizer(path).encode(CHAT_CANARY.prompt)
    except ManifestError as error:
        return ModelFolder(path, None, str(error))
    return ModelFolder(path, None, lacks=_LACKS)


def _running(service: ServiceRecord, http: httpx.Client) -> RunningModel:
    try:
        response = http.get(f"{service.url}/v1/models")
        if not response.is_success:
            return RunningModel(service, None, reason_of(response))
        models = ModelList.model_validate_json(response.content).data
    except httpx.HTTPError as error:
        return RunningModel(service, None, str(error))
    except ValidationError as error:
        return RunningModel(service, None, f"its answer cannot be read: {explain(error, at='the body')}")
    return RunningModel(service, next(iter(models), None))
