"""Secrets do not leak: real processes at DEBUG get valid and invalid requests, and all of their output is searched.

Not covered by design: the response to a registration (the sender knows the secret).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from support.openapi_documents import openapi_document
from support.orchestrator_process import free_port
from support.processes import service_process, wait_ready
from support.serving_on_loopback import Serve
from support.system import call

from alpha_umi.web.key_file import create_key

Json = dict[str, Any]
OPERATIONS = ("echo", "fail", "leave", "redirect", "garbage")

# By what they open. Each is a text that nothing else holds.
CANARIES = {
    "plain API key": "canary-plain-key-91aa-5d0c84e7",
    "wrong API key": "canary-wrong-key-27bb",
    "key in a query": "canary-query-key-33cc",
    "key in a header": "canary-header-key-44dd",
    "key in a body": "canary-body-key-55ee",
    "password in an address": "canary-address-66ff",
    "role token": "canary-role-token-77ab-e3915f6c",
    "tool header": "canary-tool-header-12cd",
    "tool query": "canary-tool-query-34ef",
    "tool bearer": "canary-tool-bearer-56ab",
    "tool password": "canary-tool-password-78cd",
    "tool cookie": "canary-tool-cookie-90ef",
    "API source": "canary-api-source-13ab",
    "secrets key": base64.urlsafe_b64encode(b"canary-secrets-key-of-32-bytes-1").decode(),
}
BASIC = f"agent:{CANARIES['tool password']}"


def tool_api() -> FastAPI:
    """Repeats what it was sent, credentials and all, in answers good and bad."""
    app = FastAPI()

    @app.get("/{operation}")
    async def operate(operation: str, request: Request) -> Response:
        seen = {"headers": dict(request.headers), "query": dict(request.query_params), "url": str(request.url)}
        match operation:
            case "fail":
                return JSONResponse(seen, 500)
            case "redirect":
                return RedirectResponse(f"/echo?{request.url.query}")
            case "leave":
                return JSONResponse(seen, headers={"Content-Length": "100000"})
            case "garbage":
                return Response(f"\xff{{not json {seen}", media_type="application/json")
            case _:
                return JSONResponse(seen)

    return app


def document() -> Json:
    schemes = {
        "in_query": {"type": "apiKey", "in": "query", "name": "api_key"},
        "in_header": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "in_cookie": {"type": "apiKey", "in": "cookie", "name": "session"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic"},
    }
    together = {"in_query": [], "in_header": [], "in_cookie": [], "bearer": []}
    paths = {
        f"/{name}": {"get": {"operationId": name, "security": [together], "responses": {"200": {"description": "x"}}}}
        for name in OPERATIONS
    }
    paths["/basic"] = {
        "get": {"operationId": "basic", "security": [{"basic": []}], "responses": {"200": {"description": "x"}}}
    }
    return openapi_document(paths, components={"securitySchemes": schemes})


def source(address: str) -> Json:
    """The operator's source; its secrets come from the environment."""
    credentials = {name: f"${{{name.upper()}}}" for name in ("in_query", "in_header", "in_cookie", "bearer", "basic")}
    return {"name": "vault", "document": document(), "base_url": address, "credentials": credentials, "effect": "read"}


ENVIRONMENT = {
    "IN_QUERY": CANARIES["tool query"],
    "IN_HEADER": CANARIES["tool header"],
    "IN_COOKIE": CANARIES["tool cookie"],
    "BEARER": CANARIES["tool bearer"],
    "BASIC": BASIC,
}
SCRIPTS = {
    "planner": [
        {"texts": ["It is known. Next: conclusion."], "when": "observation: "},
        {"texts": ["I ask. Next: caller."]},
    ],
    "caller": [{"texts": [call(name, {})], "when": f"use {name}."} for name in (*OPERATIONS, "basic")],
    "summarizer": [{"texts": ["That is what I know."]}],
}


@dataclass
class Deployment:
    """Running services, and everything that came out of them: `heard` by where it was heard."""

    url: str
    folder: Path
    key: str
    processes: list[subprocess.Popen[str]]
    heard: dict[str, str] = field(default_factory=dict)

    def client(self, key: str | None) -> httpx.AsyncClient:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30)

    def hear(self, where: str, what: httpx.Response | str) -> None:
        text = what if isinstance(what, str) else f"{what.headers}\n{what.text}"
        self.heard[f"{where} ({len(self.heard)})"] = text


@contextlib.contextmanager
def started(folder: Path, module: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with (folder / f"{module}.log").open("w") as log, service_process(module, environment, log=log) as process:
        yield process


@contextlib.contextmanager
def deployed(folder: Path, tools: str) -> Iterator[Deployment]:
    made = create_key(folder / "keys", "test")
    (folder / "sources.json").write_text(json.dumps({"sources": [source(tools)]}))
    ports = {name: free_port() for name in (*SCRIPTS, "orchestrator")}
    own = {
        "ALPHA_UMI_PORT": str(ports["orchestrator"]),
        "ALPHA_UMI_DATABASE_URL": f"sqlite:///{folder}/log.db",
        "ALPHA_UMI_SECRETS_KEY": CANARIES["secrets key"],
        # The last trajectory waits for roles that are gone.
        "ALPHA_UMI_TRAJECTORY_TIMEOUT_S": "15",
        "ALPHA_UMI_ROLE_TIMEOUT_S": "15",
        "ALPHA_UMI_API_KEYS": CANARIES["plain API key"],
        "ALPHA_UMI_API_KEYS_FILE": str(folder / "keys"),
        "ALPHA_UMI_ROLE_TOKEN": CANARIES["role token"],
        "ALPHA_UMI_TOOL_SOURCES": str(folder / "sources.json"),
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
        "ALPHA_UMI_LOG_LEVEL": "DEBUG",
        **{f"ALPHA_UMI_{role.upper()}_URL": f"http://127.0.0.1:{ports[role]}" for role in SCRIPTS},
        **ENVIRONMENT,
    }
    with contextlib.ExitStack() as stack:
        processes = []
        for role, script in SCRIPTS.items():
            (folder / f"{role}.json").write_text(json.dumps(script))
            role_environment = {
                "ALPHA_UMI_ROLE_PORT": str(ports[role]),
                "ALPHA_UMI_ROLE_ENGINE": "scripted",
                "ALPHA_UMI_ROLE_SCRIPT": str(folder / f"{role}.json"),
                "ALPHA_UMI_ROLE_TOKEN": CANARIES["role token"],
                "ALPHA_UMI_ROLE_LOG_LEVEL": "DEBUG",
            }
            processes.append(stack.enter_context(started(folder, f"services.{role}", role_environment)))
        processes.append(stack.enter_context(started(folder, "orchestrator", own)))
        url = f"http://127.0.0.1:{ports['orchestrator']}"
        for process, name in zip(processes, ports, strict=True):
            wait_ready(f"http://127.0.0.1:{ports[name]}", process, seconds=60)
        yield Deployment(url, folder, made.text, processes)


async def drive_well(deployment: Deployment) -> None:
    """Trajectories over every operation, read in every way."""
    async with deployment.client(deployment.key) as client:
        for name in (*OPERATIONS, "basic"):
            body = {"instruction": f"Please use {name}."}
            finished = await client.post("/v1/trajectories", json=body | {"tools": [name]})
            assert finished.json()["status"] == "completed", finished.text
            assert finished.json()["steps"][0]["observation"], finished.text
            deployment.hear("trajectory", finished)
            deployment.hear("stream", await client.post("/v1/trajectories", json=body | {"stream": True}))
            path = f"/v1/trajectories/{finished.json()['id']}"
            deployment.hear("read", await client.get(path))
            deployment.hear("events", await client.get(f"{path}/events"))
        for path in ("/v1/trajectories", "/v1/tools", "/v1/tool-sources", "/metrics", "/openapi.json", "/docs"):
            deployment.hear(path, await client.get(path, params={"api_key": CANARIES["key in a query"]}))


async def drive_badly(deployment: Deployment, tools: str) -> None:
    """Requests that are refused, with secrets in all the wrong places."""
    wrong = {"X-Api-Key": CANARIES["key in a header"], "Cookie": f"key={CANARIES['key in a header']}"}
    params = {"api_key": CANARIES["key in a query"]}
    body_key = CANARIES["key in a body"]
    async with deployment.client(CANARIES["wrong API key"]) as stranger:
        for path in ("/v1/tools", "/healthz", "/nowhere"):
            deployment.hear("a stranger", await stranger.get(path, params=params, headers=wrong))
    bad_bodies: list[Any] = [
        {"instruction": "x", "api_key": body_key},
        {"instruction": [body_key]},
        {"instruction": "x", "max_steps": body_key},
        {"instruction": "x", "tools": {"key": body_key}},
        [body_key],
    ]
    address = CANARIES["password in an address"]
    bad_sources: list[Json] = [
        {"name": "a", "url": f"http://user:{address}@127.0.0.1/x"},
        {"name": "b", "url": f"{tools}/missing", "headers": {"X-Key": CANARIES["API source"]}},
        {
            "name": "c",
            "operations": ["echo"],
            "document": document(),
            "base_url": tools,
            "credentials": {"basic": CANARIES["API source"]},
        },
        {"name": "d", "document": "{", "headers": {"X-Key": CANARIES["API source"] + "\n"}},
        {"name": "e", "document": document(), "headers": {"Host": CANARIES["API source"]}},
        {"name": "f", "url": "http://127.0.0.1:1/x", "headers": {"Authorization": CANARIES["API source"]}},
        {"name": "g", "document": document(), "credentials": CANARIES["API source"]},
    ]
    async with deployment.client(CANARIES["plain API key"]) as client:
        for body in bad_bodies:
            deployment.hear("a bad body", refused(await client.post("/v1/trajectories", json=body, params=params)))
        deployment.hear("no JSON", refused(await client.post("/v1/trajectories", content=f'{{"k": "{body_key}')))
        for bad in bad_sources:
            deployment.hear("a bad source", refused(await client.post("/v1/tool-sources", json=bad)))
        good = {"name": "api", "document": document_of_one(), "base_url": tools, "headers": {"X-Key": api_secret()}}
        assert (await client.post("/v1/tool-sources", json=good)).status_code == 201
        body = {"instruction": "Please use echo.", "tools": ["echo_again"]}
        deployment.hear("API source", await client.post("/v1/trajectories", json=body))
        deployment.hear("sources", await client.get("/v1/tool-sources"))


def api_secret() -> str:
    return CANARIES["API source"]


def document_of_one() -> Json:
    paths = {"/echo": {"get": {"operationId": "echo_again", "responses": {"200": {"description": "x"}}}}}
    return openapi_document(paths)


def refused(response: httpx.Response) -> httpx.Response:
    assert 400 <= response.status_code < 500, response.text
    return response


async def drive_when_roles_are_gone(deployment: Deployment) -> None:
    """The token meets a service that is not there any more."""
    deployment.processes[2].kill()
    async with deployment.client(deployment.key) as client:
        deployment.hear(
            "a failed role",
            await client.post("/v1/trajectories", json={"instruction": "Please use echo."}, timeout=60),
        )
        deployment.hear("not ready", await client.get("/readyz"))
        deployment.hear("metrics", await client.get("/metrics"))


def drive_commands(deployment: Deployment) -> None:
    """The command line, with a right key, a wrong one, and an address that holds a password."""
    named = {"ALPHA_UMI_URL": deployment.url, "ALPHA_UMI_STATE": str(deployment.folder / "state")}
    with_key = named | {"ALPHA_UMI_API_KEY": deployment.key}
    commands = (
        ("ask", "Please use echo.", "--tools", "echo"),
        ("show",),
        ("tail",),
        ("tools",),
        ("tools", "sources"),
        ("models", "list"),
    )
    for command in commands:
        deployment.hear(f"alpha-umi {command[0]}", run(command, with_key))
    wrong = named | {"ALPHA_UMI_API_KEY": CANARIES["wrong API key"]}
    deployment.hear("a wrong key", run(("tools",), wrong))
    inside = f"http://user:{CANARIES['password in an address']}@127.0.0.1:1"
    deployment.hear("an address", run(("tools",), named | {"ALPHA_UMI_URL": inside}))


def run(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def forms(secret: str) -> set[str]:
    """A secret as it is, percent-encoded, and in base 64 wherever it begins in a longer text."""
    encoded = {base64.b64encode(secret.encode()).decode(), base64.b64encode(BASIC.encode()).decode()}
    return {secret, quote(secret, safe=""), *encoded}


@contextlib.asynccontextmanager
async def driven(folder: Path, serve: Serve) -> AsyncIterator[Deployment]:
    tools = serve(tool_api())
    with deployed(folder, tools) as deployment:
        await drive_well(deployment)
        await drive_badly(deployment, tools)
        await asyncio.to_thread(drive_commands, deployment)
        await drive_when_roles_are_gone(deployment)
        yield deployment


@pytest.mark.filterwarnings("default")
async def test_no_secret_is_written_anywhere(tmp_path: Path, serve: Serve) -> None:
    async with driven(tmp_path, serve) as deployment:
        secrets = {**CANARIES, "key of the file": deployment.key, "its secret": deployment.key.rpartition("_")[2]}
    logs = {name: content for name, content in contents(tmp_path).items() if name.endswith(".log")}
    assert len(logs) == 4
    assert "tool_source.registered" in logs["orchestrator.log"]
    assert "[redacted]" in str(deployment.heard), "the tool did repeat what it was sent"
    texts = {**deployment.heard, **logs}
    assert leaks(texts, secrets) == []
    database = {name: content for name, content in contents(tmp_path).items() if name.startswith("log.db")}
    assert leaks(database, secrets) == []
    assert (tmp_path / "log.db").stat().st_mode & 0o077 == 0


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_bytes().decode("latin-1") for path in folder.iterdir() if path.is_file()}


def leaks(texts: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    return [
        f"{name} in {where}: ...{text[max(0, text.index(form) - 150) : text.index(form) + 20]}"
        for where, text in texts.items()
        for name, secret in secrets.items()
        for form in forms(secret)
        if form in text
    ]


def test_the_search_finds_what_it_should() -> None:
    texts = {"a": f"x {CANARIES['role token']}", "b": base64.b64encode(BASIC.encode()).decode(), "c": "nothing"}
    assert {line.partition(" in ")[2][0] for line in leaks(texts, CANARIES)} == {"a", "b"}
