"""The models of this machine: folders in the cache and those that ship, and what the running role services say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import ValidationError

from alpha_umi.client.http import explain, reason_of
from alpha_umi.contract.roles import ModelInfo, ModelList
from alpha_umi.serving.manifest import MANIFEST_FILE, ManifestError, ModelManifest, load_manifest, verify
from alpha_umi.serving.weights.cache import cache_folder
from cli.engines import SHIPPED_MODELS
from cli.errors import CommandError, UsageProblem
from cli.services import ROLES, SINGLE
from cli.state import RunRecord, ServiceRecord

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class ModelFolder:
    """A folder with a model. `problem` says what is wrong with it."""

    path: Path
    manifest: ModelManifest | None
    problem: str | None = None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())


@dataclass(frozen=True)
class RunningModel:
    """What a role service says about its model, or why it says nothing."""

    service: ServiceRecord
    model: ModelInfo | None
    problem: str | None = None


def find_models(home: Path | None = None) -> list[ModelFolder]:
    """Every model folder below `home`, by default of this machine, its manifest read; also weights without one.

    Raises `CommandError` for a folder that is not there or has no model, and for a user without a cache folder.
    """
    return [_read(path) for path in _folders(home)]


def verify_models(home: Path | None = None) -> list[ModelFolder]:
    """The same, each file compared with the digest in its manifest. Raises `CommandError`."""
    return [_verified(path) for path in _folders(home)]


def running_models(run: RunRecord) -> list[RunningModel]:
    """The models of the role services that are up."""
    with httpx.Client(
        timeout=TIMEOUT_S, trust_env=False, headers={"Authorization": f"Bearer {run.role_token}"}
    ) as http:
        return [_running(service, http) for service in run.services if service.name in (*ROLES, SINGLE)]


def _folders(only: Path | None) -> Iterator[Path]:
    if only is not None:
        if not only.is_dir():
            raise UsageProblem(f"{only}: there is no such folder", remedy="name a folder with models")
        found = _models_below(only)
        if not found:
            raise UsageProblem(
                f"{only}: there is no model in it", remedy=f"name a folder with models; each has an {MANIFEST_FILE}"
            )
        yield from found
        return
    try:
        cached = cache_folder() / "models"
    except ManifestError as error:
        raise CommandError(str(error)) from error
    for home in (cached, SHIPPED_MODELS):
        if home.is_dir():
            yield from _models_below(home)


def _models_below(home: Path) -> list[Path]:
    """Folders with a manifest, and those with weights that lack one: a service would refuse them."""
    described = {path.parent for path in home.rglob(MANIFEST_FILE)}
    weights = {path.parent for path in home.rglob("*.safetensors")}
    # Whether weights further down belong to a model is for its manifest to say.
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
        return ModelFolder(path, None, str(error))


def _running(service: ServiceRecord, http: httpx.Client) -> RunningModel:
    try:
        response = http.get(f"{service.url}/v1/models")
        if not response.is_success:
            return RunningModel(service, None, reason_of(response))
        models = ModelList.model_validate_json(response.content).data
    except httpx.HTTPError as error:
        return RunningModel(service, None, str(error))
    except ValidationError as error:
        return RunningModel(service, None, f"its answer cannot be read: {explain(error)}")
    return RunningModel(service, next(iter(models), None))
