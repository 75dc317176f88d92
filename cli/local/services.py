"""The processes of the system on one machine: their commands, environment variables and ports.

Everything listens on loopback. The role services and the orchestrator share a token that is generated for each run.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.turns import Role
from cli.errors import PortTaken
from cli.local.state import ORCHESTRATOR, ROLES, SHARED, StateFolder

HOST = "127.0.0.1"
TOOLS = "tools"
# The role of the strategy `single`, started only on request.
SINGLE: Role = "backbone"
# Working directory of the services, so that they import these packages however they were installed.
ROOT = Path(__file__).parents[2]

# Enough for the small embedded model on a laptop; the untuned model often does not end its output.
ANSWER_TOKENS: Mapping[str, int] = {"planner": 96, "caller": 256, "summarizer": 128, "backbone": 256}
CONTEXT = 4_096
KV_CACHE_GIB = 0.5


@dataclass(frozen=True)
class PortSpec:
    """A port that a service listens on, and the option that sets it."""

    service: str
    port: int
    option: str


@dataclass(frozen=True)
class Service:
    """A process to start. It is ready when `ready_path` answers with 200.

    `environment` overrides the user's environment variables, `defaults` are overridden by them.
    """

    name: str
    command: tuple[str, ...]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    defaults: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/readyz"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class Ports:
    """The port of each service; `tools` and `backbone` are None if they are not started.

    `shared`: one process has all three roles, on the port of the planner.
    """

    orchestrator: int = 8000
    planner: int = 8001
    caller: int = 8002
    summarizer: int = 8003
    tools: int | None = 8010
    backbone: int | None = None
    shared: bool = False

    def of_roles(self) -> dict[Role, int]:
        """The ports of the role services."""
        own: dict[Role, int] = {"planner": self.planner, "caller": self.caller, "summarizer": self.summarizer}
        ports = dict.fromkeys(ROLES, self.planner) if self.shared else own
        return ports if self.backbone is None else {**ports, SINGLE: self.backbone}

    def of_role_processes(self) -> dict[str, int]:
        """The ports of the processes of roles, by the name of the process."""
        shared = {SHARED: self.planner} if self.shared else {}
        own = {str(role): port for role, port in self.of_roles().items() if not (self.shared and role in ROLES)}
        return shared | own

    def specs(self) -> list[PortSpec]:
        """All ports with their services and options."""
        roles = [
            PortSpec(name, port, f"--{'planner' if name == SHARED else name}-port")
            for name, port in self.of_role_processes().items()
        ]
        tools = [] if self.tools is None else [PortSpec(TOOLS, self.tools, "--tools-port")]
        return [*tools, *roles, PortSpec(ORCHESTRATOR, self.orchestrator, "--port")]


@dataclass(frozen=True)
class ModelFolders:
    """The folder of each role's model.

    `template` and `context` (in tokens) are those of all of them, unless the environment names others.
    """

    of_role: Mapping[Role, Path]
    template: str | None = None
    context: int = CONTEXT

    def of_process(self, name: str) -> Path:
        """The folder that a process serves; that of all three roles has one for all of them."""
        return next(folder for role, folder in self.of_role.items() if name in (role, SHARED))


@dataclass(frozen=True)
class Script:
    """Scripted role services, for tests; without a file they generate empty texts."""

    file: Path | None = None


def service_table(
    ports: Ports, engines: ModelFolders | Script, *, state: StateFolder, token: str, tool_sources: Path | None
) -> list[Service]:
    """The services in start order."""
    tools = [] if ports.tools is None else [_example_tools(ports.tools)]
    roles = [_role_service(name, port, engines, token) for name, port in ports.of_role_processes().items()]
    return [*tools, *roles, _orchestrator(ports, state, token, tool_sources)]


def _example_tools(port: int) -> Service:
    command = _module("examples.tool_api", "--host", HOST, "--port", str(port))
    return Service(TOOLS, command, port, ready_path="/openapi.json")


def _role_service(name: str, port: int, engines: ModelFolders | Script, token: str) -> Service:
    """The process of one role, or of all three."""
    environment = {
        "ALPHA_UMI_ROLE_HOST": HOST,
        "ALPHA_UMI_ROLE_PORT": str(port),
        "ALPHA_UMI_ROLE_TOKEN": token,
        **_engine(name, engines),
    }
    defaults = _bounds(name)
    if isinstance(engines, ModelFolders):
        defaults["ALPHA_UMI_ROLE_MAX_MODEL_LEN"] = str(engines.context)
        defaults |= {} if engines.template is None else {"ALPHA_UMI_ROLE_TEMPLATE": engines.template}
    module = "services.shared" if name == SHARED else f"services.{name}"
    return Service(name, _module(module), port, environment, defaults)


def _bounds(name: str) -> dict[str, str]:
    answer = ANSWER_TOKENS.get(name)
    return {
        **({} if answer is None else {"ALPHA_UMI_ROLE_MAX_TOKENS": str(answer)}),
        "ALPHA_UMI_ROLE_KV_CACHE_GIB": str(KV_CACHE_GIB * (len(ROLES) if name == SHARED else 1)),
    }


def _engine(name: str, engines: ModelFolders | Script) -> dict[str, str]:
    if isinstance(engines, ModelFolders):
        return {"ALPHA_UMI_ROLE_ENGINE": "vllm", "ALPHA_UMI_ROLE_MODEL": str(engines.of_process(name))}
    scripted = {"ALPHA_UMI_ROLE_ENGINE": "scripted"}
    return scripted if engines.file is None else {**scripted, "ALPHA_UMI_ROLE_SCRIPT": str(engines.file)}


def _orchestrator(ports: Ports, state: StateFolder, token: str, tool_sources: Path | None) -> Service:
    roles = {f"ALPHA_UMI_{role.upper()}_URL": f"http://{HOST}:{port}" for role, port in ports.of_roles().items()}
    sources = {} if tool_sources is None else {"ALPHA_UMI_TOOL_SOURCES": str(tool_sources)}
    environment = {
        "ALPHA_UMI_HOST": HOST,
        "ALPHA_UMI_PORT": str(ports.orchestrator),
        "ALPHA_UMI_DATABASE_URL": f"sqlite:///{state.database}",
        "ALPHA_UMI_ROLE_TOKEN": token,
        "ALPHA_UMI_SECRETS_KEY_FILE": str(state.secrets_key),
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        **roles,
        **sources,
    }
    return Service(ORCHESTRATOR, _module("orchestrator"), ports.orchestrator, environment)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def check_ports_free(specs: Sequence[PortSpec]) -> None:
    """Raises `PortTaken` with every unavailable port, its service and the option that sets it."""
    faults = [fault for position, spec in enumerate(specs) if (fault := _fault(spec, specs[:position]))]
    if faults:
        raise PortTaken("\n".join(faults), remedy="choose other ports with these options; nothing was started")


def _fault(spec: PortSpec, before: Sequence[PortSpec]) -> str | None:
    for other in before:
        if other.port == spec.port:
            both = f"{other.service} ({other.option}) and {spec.service} ({spec.option})"
            return f"port {spec.port} is given to {both}"
    reason = _obstacle(spec.port)
    return reason and f"port {spec.port} for the {spec.service} {reason} ({spec.option})"


def _obstacle(port: int) -> str | None:
    with socket.socket() as probe:
        # The services set SO_REUSEADDR, too: a port with closing connections is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be used: {error.strerror}"
    return None
