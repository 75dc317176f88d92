"""The services that `alpha-umi up` starts, and their settings."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.processes import Service

# Generous for the small embedded model, whose untuned form does not know when to end.
_ANSWER_TOKENS = {"planner": 96, "caller": 256, "summarizer": 128}
_EMBEDDED_CONTEXT = 4_096
_EMBEDDED_KV_CACHE_GIB = 0.5


@dataclass(frozen=True)
class Ports:
    """Where the services listen on loopback."""

    orchestrator: int = 8000
    planner: int = 8001
    caller: int = 8002
    summarizer: int = 8003
    tools: int = 8010


@dataclass(frozen=True)
class Plan:
    """What to start. `script` replaces the language models, for tests of the command line itself."""

    ports: Ports
    state: Path
    models_dir: Path = Path("models")
    example_tools: bool = True
    tool_sources: Path | None = None
    script: Path | None = None


def services_of(plan: Plan) -> list[Service]:
    """Everything that `up` starts, the orchestrator last. The role services get a token made for this run."""
    token = secrets.token_urlsafe(24)
    roles = [_role(name, plan, token) for name in ("planner", "caller", "summarizer")]
    tools = [_tools(plan)] if plan.example_tools else []
    return [*tools, *roles, _orchestrator(plan, token)]


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _tools(plan: Plan) -> Service:
    port = plan.ports.tools
    return Service(
        "tools",
        _module("examples.tool_api", "--host", "127.0.0.1", "--port", str(port)),
        port,
        "--tools-port",
        ready="/openapi.json",
    )


def _role(name: str, plan: Plan, token: str) -> Service:
    prefix = "ALPHA_UMI_ROLE_"
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(getattr(plan.ports, name)),
        "TOKEN": token,
        "MAX_TOKENS": str(_ANSWER_TOKENS[name]),
        "MODELS_DIR": str(plan.models_dir),
        "KV_CACHE_GIB": os.environ.get(f"{prefix}KV_CACHE_GIB", str(_EMBEDDED_KV_CACHE_GIB)),
        "MAX_MODEL_LEN": os.environ.get(f"{prefix}MAX_MODEL_LEN", str(_EMBEDDED_CONTEXT)),
        "THREADS": os.environ.get(f"{prefix}THREADS", str(os.cpu_count() or 1)),
    }
    if plan.script is not None:
        settings |= {"ENGINE": "scripted", "SCRIPT": str(plan.script)}
    environment = {f"{prefix}{key}": value for key, value in settings.items()}
    return Service(
        name, _module(f"services.{name}"), getattr(plan.ports, name), f"--{name}-port", environment=environment
    )


def _orchestrator(plan: Plan, token: str) -> Service:
    ports = plan.ports
    environment = {
        "ALPHA_UMI_HOST": "127.0.0.1",
        "ALPHA_UMI_PORT": str(ports.orchestrator),
        "ALPHA_UMI_DATABASE_URL": f"sqlite+aiosqlite:///{plan.state / 'alpha_umi.db'}",
        "ALPHA_UMI_PLANNER_URL": f"http://127.0.0.1:{ports.planner}",
        "ALPHA_UMI_CALLER_URL": f"http://127.0.0.1:{ports.caller}",
        "ALPHA_UMI_SUMMARIZER_URL": f"http://127.0.0.1:{ports.summarizer}",
        "ALPHA_UMI_ROLE_TOKEN": token,
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
    }
    sources = plan.tool_sources or (_example_sources(plan) if plan.example_tools else None)
    if sources is not None:
        environment["ALPHA_UMI_TOOL_SOURCES"] = str(sources)
    return Service("orchestrator", _module("orchestrator"), ports.orchestrator, "--port", environment=environment)


def _example_sources(plan: Plan) -> Path:
    """A file of tool sources for the example server on its port."""
    url = f"http://127.0.0.1:{plan.ports.tools}/openapi.json"
    path = plan.state / "tool_sources.json"
    path.write_text(json.dumps({"sources": [{"name": "demo", "kind": "openapi", "url": url, "effect": "read"}]}))
    return path
