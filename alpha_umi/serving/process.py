"""The process of a role service: settings, engine, application, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.roles.turns import Role
from alpha_umi.serving.application import create_role_application, create_shared_application
from alpha_umi.serving.assembly import MakeRouter, role_context, role_parts
from alpha_umi.serving.drain import HostDrain
from alpha_umi.serving.loading import load_role, load_shared
from alpha_umi.serving.manifest import ManifestError
from alpha_umi.serving.metrics import RoleMetrics
from alpha_umi.serving.settings import PORTS, RoleSettings, UnusableSettings, faults
from alpha_umi.web.keys import OpenBindRefused, check_bind
from alpha_umi.web.server import PortTaken, create_server, open_socket

EXIT_USAGE = 2
EXIT_ENGINE_LOST = 70

# (settings, keys, on_lost) -> (application, drain)
_MakeApplication = Callable[[RoleSettings, list[str], Callable[[], None]], tuple[FastAPI, HostDrain]]


def main(role: Role, make_router: MakeRouter) -> None:
    """Run the service of one role until a signal.

    Exits with 0 after a signal, 2 for bad settings, 70 when the engine was lost.
    """

    def create(settings: RoleSettings, keys: list[str], on_lost: Callable[[], None]) -> tuple[FastAPI, HostDrain]:
        metrics = RoleMetrics(role)
        context = role_context(load_role(role, settings), metrics, settings.answer_tokens(role), on_lost)
        return create_role_application(context, make_router, keys=keys), HostDrain([context.host])

    _run(role, create)


def main_shared(routers: Mapping[Role, MakeRouter]) -> None:
    """Run several roles on one engine until a signal, with the exit codes of `main`."""

    def create(settings: RoleSettings, keys: list[str], on_lost: Callable[[], None]) -> tuple[FastAPI, HostDrain]:
        bounds = {role: settings.answer_tokens(role) for role in routers}
        parts = role_parts(load_shared(tuple(routers), settings), routers, bounds, on_lost)
        return create_shared_application(parts, keys=keys), HostDrain([context.host for context, _ in parts])

    _run("shared", create)


def _run(service: str, create: _MakeApplication) -> None:
    try:
        settings = RoleSettings()
        telemetry.configure_logs(service=service, form=settings.log_format, level=settings.log_level)
        telemetry.log_uncaught()
        sys.exit(_serve(service, create, settings))
    except (ValidationError, UnusableSettings, ManifestError, OpenBindRefused, PortTaken) as error:
        sys.exit(_usage(service, error))


def _serve(service: str, create: _MakeApplication, settings: RoleSettings) -> int:
    keys = [] if settings.token is None else [settings.token.get_secret_value()]
    check_bind(settings.host, keys, variable="ALPHA_UMI_ROLE_TOKEN")
    socket = open_socket(settings.host, settings.port or PORTS[service])
    ending = _Ending()
    ending.server = create_server(*create(settings, keys, ending.engine_lost))
    ending.server.run(sockets=[socket])
    return ending.exit_code


class _Ending:
    """The server, and the exit code of the process."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self.exit_code = 0

    def engine_lost(self) -> None:
        self.exit_code = EXIT_ENGINE_LOST
        if self.server is not None:
            self.server.should_exit = True


def _usage(service: str, error: Exception) -> int:
    reason = faults(error) if isinstance(error, ValidationError) else str(error)
    print(f"{service}: {reason}", file=sys.stderr)
    return EXIT_USAGE
