"""Which processes make up the system on one machine, and what each is told by its environment.

Everything listens on loopback. The role services and the orchestrator share a token that is made for each run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.roles.turns import Role
from cli.state import ORCHESTRATOR, StateFolder

HOST = "127.0.0.1"
TOOLS = "tools"
ROLES: tuple[Role, ...] = ("planner", "caller", "summarizer")
# The role of the strategy `single`, which is started only where it is asked for.
SINGLE: Role = "backbone"
# The packages lie here; services are started here, so that they find them however they were installed.
ROOT = Path(__file__).parent.parent

# Enough for the small embedded model on a laptop; in its untuned form it does not know when to end.
ANSWER_TOKENS: dict[Role, int] = {"planner": 96, "caller": 256, "summarizer": 128, "backbone": 256}
CONTEXT = 4_096
KV_CACHE_GIB = 0.5


@dataclass(frozen=True)
class PortClaim:
    """A port that a service will listen on, and the option that changes it."""

    service: str
    port: int
    option: str


@dataclass(frozen=True)
class Service:
    """A process to start. It is ready when `ready_path` answers with 200.

    `environment` is what it has to be told, `defaults` what the user's environment may say otherwise.
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
    """The port of each service; `tools` and `backbone` are None where they are not wanted."""

    orchestrator: int = 8000
    planner: int = 8001
    caller: int = 8002
    summarizer: int = 8003
    tools: int | None = 8010
    backbone: int | None = None

    def of_roles(self) -> dict[Role, int]:
        """The ports of the role services that are wanted."""
        ports: dict[Role, int] = {
            "planner": self.planner,
            "caller": self.caller,
            "summarizer": self.summarizer,
        }
        return ports if self.backbone is None else {**ports, SINGLE: self.backbone}

    def claims(self) -> list[PortClaim]:
        """All ports that are needed."""
        roles = [PortClaim(role, port, f"--{role}-port") for role, port in self.of_roles().items()]
        tools = [] if self.tools is None else [PortClaim(TOOLS, self.tools, "--tools-port")]
        return [*tools, *roles, PortClaim(ORCHESTRATOR, self.orchestrator, "--port")]


@dataclass(frozen=True)
class ModelFolders:
    """The folder of each role's model."""

    of_role: Mapping[Role, Path]


@dataclass(frozen=True)
class Script:
    """Role services that write what a file says, for tests; None lets them write nothing."""

    file: Path | None = None


def service_table(
    ports: Ports, engines: ModelFolders | Script, *, state: StateFolder, token: str, tool_sources: Path | None
) -> list[Service]:
    """The services in the order in which they are started."""
    tools = [] if ports.tools is None else [_example_tools(ports.tools)]
    roles = [_role_service(role, port, engines, token) for role, port in ports.of_roles().items()]
    return [*tools, *roles, _orchestrator(ports, state, token, tool_sources)]


def _example_tools(port: int) -> Service:
    command = _module("examples.tool_api", "--host", HOST, "--port", str(port))
    return Service(TOOLS, command, port, ready_path="/openapi.json")


def _role_service(role: Role, port: int, engines: ModelFolders | Script, token: str) -> Service:
    environment = {
        "ALPHA_UMI_ROLE_HOST": HOST,
        "ALPHA_UMI_ROLE_PORT": str(port),
        "ALPHA_UMI_ROLE_TOKEN": token,
        **_engine(role, engines),
    }
    return Service(role, _module(f"services.{role}"), port, environment, _bounds(role))


def _bounds(role: Role) -> dict[str, str]:
    return {
        "ALPHA_UMI_ROLE_MAX_TOKENS": str(ANSWER_TOKENS[role]),
        "ALPHA_UMI_ROLE_MAX_MODEL_LEN": str(CONTEXT),
        "ALPHA_UMI_ROLE_KV_CACHE_GIB": str(KV_CACHE_GIB),
        "ALPHA_UMI_ROLE_THREADS": str(os.cpu_count() or 1),
    }


def _engine(role: Role, engines: ModelFolders | Script) -> dict[str, str]:
    if isinstance(engines, ModelFolders):
        return {"ALPHA_UMI_ROLE_ENGINE": "vllm", "ALPHA_UMI_ROLE_MODEL": str(engines.of_role[role])}
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
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        **roles,
        **sources,
    }
    return Service(ORCHESTRATOR, _module("orchestrator"), ports.orchestrator, environment)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
