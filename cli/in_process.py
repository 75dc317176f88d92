"""Role models that a command runs in its own process, without services and ports.

The applications of the services are called through an ASGI transport. Not here: the requests (`commands/generate`).
Engines and their child processes write to the standard streams, so their output is redirected to a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pydantic import ValidationError
from rich.console import Console

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from cli.errors import EngineFailed, UsageProblem
from cli.local.models import ensure_models, located, role_folders, usual_context
from cli.local.services import ANSWER_TOKENS, CONTEXT, KV_CACHE_GIB
from cli.local.state import ROLES
from cli.local.supervisor import READY_TIMEOUT_S, last_lines

if TYPE_CHECKING:
    from alpha_umi.client.roles import RoleServices
    from alpha_umi.serving.assembly import MakeRouter
    from alpha_umi.serving.loading import RoleEngine
    from alpha_umi.serving.settings import RoleSettings

# Share of a GPU's memory for all engines together.
GPU_SHARE = 0.9
# The base address of the applications, also in messages; nothing listens there.
ADDRESS = "http://localhost"


@dataclass(frozen=True)
class ModelChoice:
    """The models of the roles, as folders or hub ids. `model`: one model for all roles. `models`: a folder with a model
    folder per role. `adapters`: a folder with an adapter per role, for `model` or else the embedded backbone. None of
    them: the embedded role models.
    """

    model: str | None = None
    models: str | None = None
    adapters: str | None = None


@dataclass(frozen=True)
class LoadedRoles:
    """Roles with their engines (not started), and each role's maximum answer length in tokens.

    `remote`: the engines belong to a server, which may be temporarily unavailable.
    """

    engines: Mapping[Role, RoleEngine]
    answer_tokens: Mapping[Role, int]
    remote: bool = False


def load_roles(choice: ModelChoice, roles: Sequence[Role], console: Console) -> LoadedRoles:
    """The validated choice. Raises `UsageProblem`, and `CommandError` if models cannot be prepared."""
    if choice.models is not None and (choice.model is not None or choice.adapters is not None):
        raise UsageProblem("--models excludes --model and --adapters", remedy="name either")
    try:
        from alpha_umi.serving.manifest import ManifestError
        from alpha_umi.serving.settings import UnusableSettings

        settings, engines = _load(choice, roles, console)
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"the package {error.name} is missing", remedy="install alpha-umi[serving,embedded,engine-cpu]"
        ) from error
    except (ManifestError, UnusableSettings) as error:
        raise UsageProblem(str(error), remedy="name a folder with such a model and its manifest") from error
    bounds = {role: settings.max_tokens or ANSWER_TOKENS[role] for role in roles}
    return LoadedRoles(engines, bounds, remote=settings.engine == "remote")


def _load(
    choice: ModelChoice, roles: Sequence[Role], console: Console
) -> tuple[RoleSettings, Mapping[Role, RoleEngine]]:
    from alpha_umi.serving.loading import load_folders, load_scripted, load_shared

    model = None if choice.model is None else located(choice.model, console)
    settings = _settings([] if model is None else [model])
    if settings.engine == "scripted":
        return settings, load_scripted(roles, settings)
    if settings.is_chat_server:
        return settings, load_shared(roles, settings if model is None else settings.model_copy(update={"model": model}))
    if choice.adapters is not None:
        given = {"adapters": located(choice.adapters, console, roles)} | ({} if model is None else {"model": model})
        return settings, load_shared(roles, settings.model_copy(update=given))
    folders = dict.fromkeys(roles, model) if model is not None else _folders(choice, roles, console)
    settings = _settings(set(folders.values()))
    return settings, load_folders(folders, settings)


def _folders(choice: ModelChoice, roles: Sequence[Role], console: Console) -> Mapping[Role, Path]:
    if choice.models is None:
        return ensure_models(console, roles).of_role
    return role_folders(located(choice.models, console, roles), roles)


def _settings(models: Collection[Path]) -> RoleSettings:
    """The settings of role services, with the defaults of `alpha-umi up` for the embedded models.

    The caches of all engines share as much memory as those of three services. All cores are used, but no core by two
    threads, which would wait for each other. Raises `UsageProblem`, `ManifestError`.
    """
    from alpha_umi.serving.processor import available_cores
    from alpha_umi.serving.settings import RoleSettings, faults

    engines = len(models) or 1
    usual: dict[str, Any] = {
        "max_model_len": min([CONTEXT, *map(usual_context, models)]),
        "kv_cache_gib": len(ROLES) * KV_CACHE_GIB / engines,
        "gpu_memory_utilization": GPU_SHARE / engines,
        "threads": max(1, available_cores() // engines),
    }
    try:
        chosen = RoleSettings()
    except ValidationError as error:
        raise UsageProblem(faults(error)) from error
    return chosen.model_copy(update={name: usual[name] for name in usual if name not in chosen.model_fields_set})


@contextlib.asynccontextmanager
async def services_in_process(
    roles: LoadedRoles, log: Path, *, wait_s: float, ready_timeout_s: float = READY_TIMEOUT_S
) -> AsyncIterator[RoleServices]:
    """Yields clients of the roles' services when they are ready; the engines stop with the block.

    Raises `EngineFailed` if an engine fails or is not ready in time.
    """
    from alpha_umi.client.retry import RetryPolicy
    from alpha_umi.client.roles import RoleServices
    from alpha_umi.serving.application import RoleUnusable, in_process_transport
    from alpha_umi.serving.assembly import role_parts

    parts = role_parts(roles.engines, _routers(), roles.answer_tokens)
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(ready_timeout_s):
                transport = await stack.enter_async_context(in_process_transport(parts))
        except RoleUnusable as error:
            raise engine_failed(f"the {error.role} cannot be used: {error}", log) from error
        except TimeoutError as error:
            raise engine_failed(f"the engine was not ready after {ready_timeout_s:.0f} s", log) from error
        addresses = {role: [ADDRESS] for role in roles.engines}
        services = RoleServices(addresses, retry=RetryPolicy(wait_s=wait_s), transport=transport)
        yield await stack.enter_async_context(services)


def engine_failed(message: str, log: Path, again: str = "") -> EngineFailed:
    """The error with the last lines of the engines' log."""
    return EngineFailed(message, log=last_lines(log), remedy=f"{again}the full log is {log}")


def _routers() -> Mapping[Role, MakeRouter]:
    from services.backbone import create_router as backbone_router
    from services.caller import create_router as caller_router
    from services.planner import create_router as planner_router
    from services.summarizer import create_router as summarizer_router

    return {
        "planner": planner_router,
        "caller": caller_router,
        "summarizer": summarizer_router,
        "backbone": backbone_router,
    }


_STREAMS = (1, 2)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[Console]:
    """Within the block everything that is written to standard output and error is appended to the file.

    Yields a console that still writes to the original standard error. Raises `OSError`.
    """
    with log.open("a", encoding="utf-8", errors="replace", buffering=1) as file, contextlib.ExitStack() as stack:
        terminal = stack.enter_context(_terminal())
        stack.enter_context(_descriptors(file.fileno()))
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        stack.enter_context(_log_lines())
        yield Console(file=terminal, highlight=False)


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO]:
    """A copy of standard error that redirection of its descriptor does not affect."""
    try:
        descriptor = sys.stderr.fileno()
    except io.UnsupportedOperation:  # not a file
        yield sys.stderr
        return
    with open(os.dup(descriptor), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1) as copy:
        yield copy


@contextlib.contextmanager
def _descriptors(file: int) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(stream) for stream in _STREAMS]
    for stream in _STREAMS:
        os.dup2(file, stream)
    try:
        yield
    finally:
        for stream, old in zip(_STREAMS, before, strict=True):
            os.dup2(old, stream)
            os.close(old)


@contextlib.contextmanager
def _log_lines() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    # No log line for each request.
    telemetry.configure_logs(service="alpha-umi", form="console", level="WARNING")
    try:
        yield
    finally:
        root.handlers = before
        root.setLevel(level)
