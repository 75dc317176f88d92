"""The process of a role service: settings to engine to application, and an exit code that says how it ended."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import RoleName
from alpha_umi.serving.application import create_role_application
from alpha_umi.serving.context import MakeRouter, RoleContext
from alpha_umi.serving.engine import Engine
from alpha_umi.serving.host import Canary, RoleHost, ServedModel
from alpha_umi.serving.manifest import ManifestError, verify
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine
from alpha_umi.serving.settings import MAX_TOKENS, PORTS, RoleSettings
from alpha_umi.web.keys import OpenBindRefused, check_bind
from alpha_umi.web.server import PortTaken, create_server, open_socket

EXIT_USAGE = 2
EXIT_ENGINE_LOST = 70

_SCRIPTED_CANARY = Canary("What is the capital of France?", CANARY)


def main(role: RoleName, make_router: MakeRouter) -> None:
    """Run a role service until a signal; exits with 2 for bad settings, 70 when the engine was lost."""
    try:
        settings = RoleSettings()
        telemetry.configure_logs(service=role, form=settings.log_format, level=settings.log_level)
        sys.exit(_serve(role, make_router, settings))
    except (ValidationError, ManifestError, OpenBindRefused, PortTaken) as error:
        sys.exit(_usage(role, error))


def _serve(role: RoleName, make_router: MakeRouter, settings: RoleSettings) -> int:
    keys = [] if settings.token is None else [settings.token.get_secret_value()]
    check_bind(settings.host, keys, variable="ALPHA_UMI_ROLE_TOKEN")
    socket = open_socket(settings.host, settings.port or PORTS[role])
    ending = _Ending()
    engine, model = _load(role, settings)
    host = RoleHost(engine, model, on_lost=ending.engine_lost)
    metrics = RoleMetrics(role)
    context = RoleContext(host, metrics, settings.max_tokens or MAX_TOKENS[role])
    app = create_role_application(context, make_router, keys=keys)
    ending.server = create_server(app)
    ending.server.run(sockets=[socket])
    return ending.exit_code


class _Ending:
    """Remembers why the process ends."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self.exit_code = 0

    def engine_lost(self) -> None:
        self.exit_code = EXIT_ENGINE_LOST
        if self.server is not None:
            self.server.should_exit = True


def _load(role: RoleName, settings: RoleSettings) -> tuple[Engine, ServedModel]:
    if settings.engine == "scripted":
        return _scripted(role, settings)
    return _vllm(role, settings)


def _scripted(role: RoleName, settings: RoleSettings) -> tuple[Engine, ServedModel]:
    engine = ScriptedEngine([]) if settings.script is None else ScriptedEngine.from_file(settings.script)
    engine.rules = [Rule([CANARY], when=_SCRIPTED_CANARY.prompt), *engine.rules]
    template = load_template(settings.template or "toolbench")
    return engine, ServedModel(role, "scripted", template, _SCRIPTED_CANARY, settings.planner_label)


def _vllm(role: RoleName, settings: RoleSettings) -> tuple[Engine, ServedModel]:
    from alpha_umi.serving.vllm_engine import VllmEngine, VllmOptions

    folder = settings.model or _embedded(role, settings)
    manifest = verify(folder)
    options = VllmOptions(
        model=folder,
        context=settings.max_model_len or manifest.context,
        dtype=settings.dtype,
        kv_cache_gib=settings.kv_cache_gib,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        threads=settings.threads,
    )
    model = ServedModel(
        role,
        manifest.name,
        load_template(settings.template or manifest.template),
        Canary(manifest.canary.prompt, manifest.canary.expected),
        settings.planner_label,
    )
    return VllmEngine(options), model


def _embedded(role: RoleName, settings: RoleSettings) -> Path:
    """The small model that comes with the project, converted into the cache when it is not there yet."""
    from alpha_umi.serving.weights import embedded_role_model

    return embedded_role_model(role, cache=settings.cache, models_dir=settings.models_dir)


def _usage(role: RoleName, error: Exception) -> int:
    print(f"{role}: {_one_line(error)}", file=sys.stderr)
    return EXIT_USAGE


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"ALPHA_UMI_ROLE_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        )
    return str(error)
