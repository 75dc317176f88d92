"""Export the stages of a run as model folders for the services: a LoRA adapter or a full model for each role.

    TARGET/planner/adapter_model.safetensors    in bfloat16, with adapter_config.json and alpha_umi.json

The manifest has the role and the training instructions of the model. A template that has changed since training is
refused, here and by the services.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from alpha_umi.atomic import remove_folder
from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.manifest import (
    CanaryText,
    ManifestError,
    ModelManifest,
    load_manifest,
    write_manifest,
)
from alpha_umi.serving.weights.adapters import write_merged
from alpha_umi.serving.weights.canary import PROMPT, write_canary
from alpha_umi.serving.weights.errors import CanaryUnsure, TargetUnusable
from alpha_umi.serving.weights.model_folder import build_folder, check_disk_space, lock_target
from alpha_umi.serving.weights.published import role_prompt
from training.errors import CannotWrite, ExportRefused, RecordUnusable
from training.loop.model import ADAPTER, backbone_of, identity_of
from training.recipes.model import Config
from training.records import (
    RUN_FILE,
    STAGE_FILE,
    StageRecord,
    read_identity,
    read_stage,
    recorded_variant,
    stage_folder,
)

Record = TypeVar("Record")
_ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Exported:
    """An exported model folder."""

    folder: Path
    manifest: ModelManifest


@dataclass(frozen=True)
class _Source:
    """A complete stage of a run with its backbone."""

    folder: Path
    record: StageRecord
    config: Config
    backbone: Path
    base: ModelManifest


def export_run(run: Path, target: Path, *, merged: bool = False) -> list[Exported]:
    """Write a model folder for each role that the run's variant serves; `merged` writes full models.

    Writes all of them or none. Raises `ExportRefused`, `BackboneUnusable` and `CannotWrite`.
    """
    sources = _sources(run)
    for role, _ in sources:
        if (target / role).exists() or (target / role).is_symlink():
            raise ExportRefused(
                f"{target / role} exists", remedy="name a folder that does not exist, or remove this one"
            )
    try:
        with _beside(target) as beside:
            for role, source in sources:
                _write(beside / role, source, role, merged)
            for role, _ in sources:
                (beside / role).rename(target / role)
    except (OSError, SafetensorError, TargetUnusable) as error:
        raise CannotWrite(f"{target} cannot be written: {error}", remedy="make room, and export again") from error
    return [Exported(target / role, load_manifest(target / role)) for role, _ in sources]


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary folder on the target's disk. What a killed command left in it is removed."""
    target.mkdir(parents=True, exist_ok=True)
    beside = target / ".export.partial"
    try:
        with lock_target(target / ".export.lock"):
            remove_folder(beside)
            beside.mkdir()
            try:
                yield beside
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    finally:
        # Fails if the folder has other models.
        with contextlib.suppress(OSError):
            target.rmdir()


def _write(folder: Path, source: _Source, role: Role, merged: bool) -> None:
    check_disk_space(folder.parent, _room(source))
    try:
        build_folder(folder, folder.with_name(f".{role}.partial"), lambda made: _build(made, source, role, merged))
    except ManifestError as error:
        raise ExportRefused(f"{role}: {error}", remedy="see what the message names, and export again") from error


def _sources(run: Path) -> list[tuple[Role, _Source]]:
    identity = _readable(lambda: read_identity(run))
    variant = recorded_variant(identity["variant"])
    config = Config.model_validate({**identity["config"], "about": ""})
    if load_template(config.template).digest != identity["template_digest"]:
        raise ExportRefused(
            f"{run / RUN_FILE}: template_digest: the template {config.template} has changed since the run",
            remedy="prepare the data again and train again, or export with the version that trained it",
        )
    backbone, base = backbone_of(config)
    if identity["backbone"] != identity_of(base):
        raise ExportRefused(
            f"{run / RUN_FILE}: backbone: {backbone} is not the one that the run was trained from",
            remedy="restore that backbone, or train again",
        )
    return [
        (role, _Source(folder, _readable(partial(read_stage, folder)), config, backbone, base))
        for stage in variant.stages
        for folder in [stage_folder(run, stage.name)]
        for role in stage.serves
    ]


def _build(home: Path, source: _Source, role: Role, merged: bool) -> None:
    template = source.config.template
    if source.config.lora is None:
        _copy(source.folder, home)
        canary = _canary(home, role, template)
    elif merged:
        with _bfloat16(source.folder) as adapter:
            write_merged(adapter, source.backbone, home)
        canary = _canary(home, role, template)
    else:
        _write_adapter(source.folder, home)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".merged-") as model:
            write_merged(home, source.backbone, Path(model))
            canary = _canary(Path(model), role, template)
    write_manifest(home, _manifest(source, role, canary))


@contextlib.contextmanager
def _bfloat16(stage: Path) -> Iterator[Path]:
    """The adapter in the format in which it is served, so that a merged model equals the adapter on the backbone."""
    with tempfile.TemporaryDirectory(prefix="alpha-umi-adapter-") as folder:
        _write_adapter(stage, Path(folder))
        yield Path(folder)


def _write_adapter(stage: Path, folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    try:
        tensors = load_file(stage / ADAPTER)
    except (OSError, SafetensorError) as error:
        raise ExportRefused(f"{stage / ADAPTER} cannot be read: {error}", remedy="train the stage again") from error
    save_file({name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}, folder / ADAPTER, {"format": "pt"})
    shutil.copyfile(stage / _ADAPTER_CONFIG, folder / _ADAPTER_CONFIG)


def _copy(stage: Path, folder: Path) -> None:
    for path in stage.iterdir():
        if path.name != STAGE_FILE:
            shutil.copyfile(path, folder / path.name)


def _canary(model: Path, role: Role, template: str) -> CanaryText:
    """The model's canary: its confident output for a prompt of its role, else for the default prompt."""
    try:
        return write_canary(model, role_prompt(role, load_template(template)), accept_unsure=False)
    except CanaryUnsure:
        return write_canary(model, PROMPT)


def _manifest(source: _Source, role: Role, canary: CanaryText) -> ModelManifest:
    identity = source.record.identity
    variant, stage, seed = identity["variant"]["name"], identity["stage"], identity["seed"]
    return ModelManifest(
        name=f"{source.config.name}-{variant}-{role}",
        role=role,
        template=source.config.template,
        context=source.config.context,
        base=source.base.name,
        canary=canary,
        source=(
            f"trained by alpha-umi train {variant} (stage {stage}, seed {seed}, {source.record.tokens:,} tokens of "
            f"the data {identity['data_digest'][:12]}) from: {source.base.source}"
        ),
        trained_on=source.record.trained_on,
        template_digest=identity["template_digest"],
        base_weights=source.base.weights,
    )


def _room(source: _Source) -> int:
    """Bytes that writing needs temporarily: at most two full models, because the canary needs a merged one."""
    weights = sum(path.stat().st_size for path in source.backbone.glob("*.safetensors"))
    return 2 * weights + (64 << 20)


def _readable(read: Callable[[], Record]) -> Record:
    try:
        return read()
    except RecordUnusable as error:
        raise ExportRefused(error.message, remedy="name the folder of a run whose stages are complete") from error
