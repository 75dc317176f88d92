"""From settings to engines: choose and verify each role's model. No engine is started here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from alpha_umi.roles.template import ChatTemplate, chat_template_names, load_any_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.engine import Engine
from alpha_umi.serving.host import CHAT_CANARY, Canary, ServedModel
from alpha_umi.serving.manifest import MANIFEST_FILE, ModelManifest, verify
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine
from alpha_umi.serving.settings import RoleSettings, UnusableSettings
from alpha_umi.serving.shared import SharedEngine

if TYPE_CHECKING:
    from alpha_umi.serving.remote.engine import RemoteOptions

Adapters = Mapping[Role, Path]

_QUESTION = "What is the capital of France?"


class RoleEngine(NamedTuple):
    """A role's engine, and the description of its model."""

    engine: Engine
    model: ServedModel


def load_role(role: Role, settings: RoleSettings) -> RoleEngine:
    """The engine of a service with one role, not started.

    Raises `ManifestError` for a model folder that must not be served, `UnusableSettings`.
    """
    if settings.engine == "scripted":
        return RoleEngine(_scripted(settings), _scripted_model(role, settings))
    if settings.is_chat_server:
        return RoleEngine(_chat_engine(settings), _chat_model(role, settings))
    folder = _located(settings.model, weights=settings.runs_model) if settings.model else _embedded(role, settings)
    model = _read(folder, settings)
    if not model.serves(role):
        raise UnusableSettings(
            f"ALPHA_UMI_ROLE_MODEL: {folder} holds a {model.role}, not a {role}; name the model of this role"
        )
    return _checked(_engine(settings, folder, model.context), _served(role, model, settings, folder))


def load_folders(folders: Mapping[Role, Path], settings: RoleSettings) -> dict[Role, RoleEngine]:
    """The engines of roles whose models are in these folders, not started. Roles with the same folder share an engine.

    Raises `ManifestError` for a folder that must not be served, `UnusableSettings`.
    """
    models = {folder: _read(folder, settings) for folder in dict.fromkeys(folders.values())}
    for role, folder in folders.items():
        if not models[folder].serves(role):
            raise UnusableSettings(f"{folder} holds a {models[folder].role}, not a {role}")
    engines = {folder: SharedEngine(_engine(settings, folder, model.context)) for folder, model in models.items()}
    return {
        role: _checked(engines[folder].view(role), _served(role, models[folder], settings, folder))
        for role, folder in folders.items()
    }


def load_scripted(roles: Sequence[Role], settings: RoleSettings) -> dict[Role, RoleEngine]:
    """One scripted engine, as a view for each role."""
    scripted = SharedEngine(_scripted(settings))
    return {role: RoleEngine(scripted.view(role), _scripted_model(role, settings)) for role in roles}


def load_shared(roles: Sequence[Role], settings: RoleSettings) -> dict[Role, RoleEngine]:
    """One engine with an adapter for each role, as a view for each role; it is not started.

    With a chat template and no adapters, and on a chat server, the model plays all roles as it is.

    Raises `ManifestError` for a backbone or an adapter that must not be served or do not belong together,
    `UnusableSettings`.
    """
    if settings.engine == "scripted":
        scripted = SharedEngine(_scripted(settings, adapters=roles))
        return {role: RoleEngine(scripted.bind_adapter(role), _scripted_model(role, settings)) for role in roles}
    if settings.is_chat_server:
        server = SharedEngine(_chat_engine(settings))
        return {role: RoleEngine(server.view(role), _chat_model(role, settings)) for role in roles}
    located = _located(settings.model, weights=settings.runs_model) if settings.model else None
    folder = located or _embedded_backbone(settings)
    if settings.is_chat and settings.adapters is None:
        return load_folders(dict.fromkeys(roles, folder), settings)
    backbone = verify(folder, weights=settings.runs_model)
    adapters = _adapter_folders(roles, settings)
    manifests = {role: _check_adapter(path, role, folder) for role, path in adapters.items()}
    context = min(manifest.context for manifest in (backbone, *manifests.values()))
    shared = SharedEngine(_engine(settings, folder, context, adapters))
    return {
        role: _checked(
            shared.bind_adapter(role), _served(role, _described(manifests[role]), settings, folder, adapters[role])
        )
        for role in roles
    }


@dataclass(frozen=True)
class _Model:
    """What is known of a model in a folder; `manifest` is None if it has none. `template` is its own."""

    name: str
    role: Role
    template: str
    context: int
    canary: Canary
    manifest: ModelManifest | None = None

    def serves(self, role: Role) -> bool:
        """Whether it is this role's model, or a backbone, which serves every role."""
        return self.role in (role, "backbone")


def _read(folder: Path, settings: RoleSettings) -> _Model:
    """The model in a folder, verified; without a manifest only where the template is of the kind chat."""
    if not settings.is_chat or (folder / MANIFEST_FILE).exists():
        return _described(verify(folder, weights=settings.runs_model))
    from alpha_umi.serving.weights.checkpoint import read_plain_model
    from alpha_umi.serving.weights.hub import hub_reference

    context = read_plain_model(folder, weights=settings.runs_model).context or settings.max_model_len
    if context is None:
        raise UnusableSettings(
            f"{folder}: config.json names no max_position_embeddings; set ALPHA_UMI_ROLE_MAX_MODEL_LEN"
        )
    name = (hub_reference(folder) or folder.resolve().name).partition("@")[0]
    return _Model(name, "backbone", str(settings.template), context, CHAT_CANARY)


def _described(manifest: ModelManifest) -> _Model:
    canary = Canary(manifest.canary.prompt, manifest.canary.expected)
    return _Model(manifest.name, manifest.role, manifest.template, manifest.context, canary, manifest)


def _checked(engine: Engine, model: ServedModel) -> RoleEngine:
    """Raises `ManifestError` for a model whose chat template cannot be used."""
    if isinstance(model.template, ChatTemplate):
        engine.count_tokens(CHAT_CANARY.prompt)
    return RoleEngine(engine, model)


def _scripted(settings: RoleSettings, *, adapters: Sequence[Role] = ()) -> ScriptedEngine:
    engine = ScriptedEngine([]) if settings.script is None else ScriptedEngine.from_file(settings.script)
    engine.rules = [Rule([CANARY], when=_QUESTION), *engine.rules]
    engine.adapters = adapters
    return engine


def _scripted_model(role: Role, settings: RoleSettings) -> ServedModel:
    template = load_any_template(settings.template or "toolbench")
    return ServedModel(role, "scripted", template, Canary(_QUESTION, CANARY), settings.planner_label)


def _engine(settings: RoleSettings, folder: Path, context: int, adapters: Adapters = MappingProxyType({})) -> Engine:
    make = _remote if settings.engine == "remote" else _vllm
    return make(settings, folder, settings.max_model_len or context, {str(role): adapters[role] for role in adapters})


def _remote(settings: RoleSettings, folder: Path, context: int, adapters: Mapping[str, Path]) -> Engine:
    from alpha_umi.serving.remote.completions import CompletionsEngine

    return CompletionsEngine(_remote_options(settings, tokenizer=folder, context=context, adapters=tuple(adapters)))


def _chat_engine(settings: RoleSettings) -> Engine:
    from alpha_umi.serving.remote.chat import ChatEngine

    for name in ("model", "adapters"):
        if getattr(settings, name) is not None:
            raise UnusableSettings(
                f"ALPHA_UMI_ROLE_{name.upper()} is set, but with ALPHA_UMI_ROLE_REMOTE_API=chat the server has the "
                "model; unset it, and name the model in ALPHA_UMI_ROLE_REMOTE_MODEL"
            )
    if settings.template is not None and not settings.is_chat:
        raise UnusableSettings(
            f"ALPHA_UMI_ROLE_TEMPLATE: {settings.template} is for completions; unset it, or name one of "
            f"{', '.join(chat_template_names())}"
        )
    return ChatEngine(_remote_options(settings, context=settings.max_model_len))


def _chat_model(role: Role, settings: RoleSettings) -> ServedModel:
    """The description of a model of which the server knows everything, and this service its name."""
    template = load_any_template(settings.template or "chat")
    return ServedModel(
        role, str(settings.remote_model), template, CHAT_CANARY, thinking=_shows_thinking(role, settings)
    )


def _shows_thinking(role: Role, settings: RoleSettings) -> bool:
    return settings.thinking == "rationale" and role == "planner"


def _remote_options(
    settings: RoleSettings, *, context: int | None, tokenizer: Path | None = None, adapters: tuple[str, ...] = ()
) -> RemoteOptions:
    from alpha_umi.serving.remote.engine import RemoteOptions

    if settings.remote_url is None:
        raise UnusableSettings("ALPHA_UMI_ROLE_REMOTE_URL is not set; name the address of the server")
    if settings.remote_model is None and not adapters:
        raise UnusableSettings("ALPHA_UMI_ROLE_REMOTE_MODEL is not set; name the model on the server")
    return RemoteOptions(
        url=str(settings.remote_url),
        tokenizer=tokenizer,
        context=context,
        model=settings.remote_model,
        adapters=adapters,
        key=settings.remote_key,
        extensions=settings.remote_extensions,
    )


def _vllm(settings: RoleSettings, folder: Path, context: int, adapters: Mapping[str, Path]) -> Engine:
    from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions

    options = VllmOptions(
        model=folder,
        context=context,
        dtype=settings.dtype,
        kv_cache_gib=settings.kv_cache_gib,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        threads=settings.threads,
        adapters=adapters,
        speculation=settings.speculation,
    )
    return VllmEngine(options)


def _served(role: Role, model: _Model, settings: RoleSettings, *folders: Path) -> ServedModel:
    """The description of a model from these folders."""
    from alpha_umi.serving.weights.hub import hub_reference

    merged = None if model.manifest is None else model.manifest.hub
    return ServedModel(
        role,
        model.name,
        load_any_template(settings.template or model.template),
        model.canary,
        settings.planner_label,
        model.manifest,
        (*(merged or ()), *filter(None, map(hub_reference, folders))),
        thinking=_shows_thinking(role, settings),
    )


def _located(reference: Path | str, roles: Sequence[Role] = (), *, weights: bool = True) -> Path:
    """The folder of a path or a hub id; the hub's files are fetched, with a progress bar on a terminal."""
    from alpha_umi.serving.weights import progress_bar
    from alpha_umi.serving.weights.hub import locate

    with progress_bar(Console(stderr=True, quiet=not sys.stderr.isatty())) as progress:
        return locate(reference, roles=roles, weights=weights, progress=progress)


def _adapter_folders(roles: Sequence[Role], settings: RoleSettings) -> dict[Role, Path]:
    if settings.adapters is None:
        raise UnusableSettings(
            "ALPHA_UMI_ROLE_ADAPTERS is not set; name the folder that holds an adapter for each role, or set "
            "ALPHA_UMI_ROLE_TEMPLATE=chat to have the model itself play all roles"
        )
    home = _located(settings.adapters, roles)
    return {role: home / role for role in roles}


def _check_adapter(folder: Path, role: Role, backbone: Path) -> ModelManifest:
    from alpha_umi.serving.weights.adapters import check_adapter

    return check_adapter(folder, role, backbone)


def _embedded(role: Role, settings: RoleSettings) -> Path:
    """The small model that comes with the project; converted into the cache unless it is there."""
    if settings.is_chat:
        return _embedded_backbone(settings)
    from alpha_umi.serving.weights import embedded_role_model

    return embedded_role_model(role, cache=settings.cache, models_dir=settings.models_dir)


def _embedded_backbone(settings: RoleSettings) -> Path:
    from alpha_umi.serving.weights import cache_folder, ensure_backbone

    return ensure_backbone(settings.cache or cache_folder())
