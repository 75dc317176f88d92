"""Checks of the built images; a failed check raises with the container's output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from deploy.images.container import Container, volume
from deploy.images.recipes import DEFAULT, RECIPES

KEY, TOKEN = "key-of-the-check-3f9c1d7a5be2468e", "token-of-the-check-b18d6c40f72a93e5"
QUESTION = {"instruction": "How many metres are 3 miles?"}
CALL = 'Action: convert_unit\nAction Input: {"value": 3, "from_unit": "mile", "to_unit": "metre"}'
SCRIPTS = {
    "planner": [
        {"when": "4828", "texts": ["The length is known. Next: conclusion."]},
        {"texts": ["The miles have to be converted. Next: caller."]},
    ],
    "caller": [{"texts": [CALL]}],
    "summarizer": [{"texts": ["3 miles are 4828.032 metres."]}],
}
SOURCES = {"sources": [{"name": "demo", "kind": "openapi", "url": "http://127.0.0.1:8010/openapi.json"}]}
PLAN = {
    "tools": [{"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}],
    "history": [{"role": "user", "content": "What time is it?"}],
}
# Timeout in seconds of the first start, which converts and loads a model.
START_S = 60
LOAD_S = 900

_ASK = """
import sys, urllib.request
url, key, body = sys.argv[1:]
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
request = urllib.request.Request(url, body.encode() or None, headers)
try:
    answer = urllib.request.urlopen(request, timeout=300)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""

_READ_BILL = """
import json, pathlib
folder = pathlib.Path("/usr/share/doc/alpha-umi")
names = [part["name"] for part in json.loads((folder / "sbom.cdx.json").read_text())["components"]]
notices = (folder / "THIRD_PARTY_NOTICES").read_text().splitlines()
missing = [name for name in names if name.lower() not in {line.lower() for line in notices}]
assert len(names) > 5 and not [name for name in missing if name not in ("pip", "setuptools", "wheel")], missing
print(len(names), "packages")
"""


class CheckFailed(Exception):
    """A check of an image failed."""


def checks(built: set[str]) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """The checks for these images: the subject, and a function that runs the check in a new folder; its result line."""
    for name in sorted(built & {*DEFAULT}):
        yield f"{name} holds its bill of materials and the notices", partial(_bill, name)
    if "orchestrator" in built:
        yield "the orchestrator refuses to start without keys", _orchestrator_without_keys
    if "planner-cpu" in built:
        yield "a role service refuses to start without a token", _role_without_token
    if {"orchestrator", "planner-cpu", "tool-api"} <= built:
        yield "a trajectory runs through all services, their models scripted", _trajectory
    if "planner-cpu" in built:
        yield "a planner plans with the embedded model on vLLM's CPU engine", _real_engine


def _bill(name: str, folder: Path) -> str:
    with Container(_tag(name), folder / "container", command=("python", "-c", _READ_BILL)) as container:
        code = container.wait(seconds=START_S)
        _require(code == 0, f"exit code {code}: {container.output}")
        return container.output.strip()


def _orchestrator_without_keys(folder: Path) -> str:
    return _refused(Container(_tag("orchestrator"), folder / "container"), "ALPHA_UMI_API_KEYS")


def _role_without_token(folder: Path) -> str:
    scripted = {"ALPHA_UMI_ROLE_ENGINE": "scripted"}
    return _refused(Container(_tag("planner-cpu"), folder / "container", scripted), "ALPHA_UMI_ROLE_TOKEN")


def _refused(container: Container, variable: str) -> str:
    with container:
        code = container.wait(seconds=START_S)
        _require(code == 2 and variable in container.output, f"exit code {code}: {container.output}")
        return container.output.strip().splitlines()[-1]


def _trajectory(folder: Path) -> str:
    with ExitStack() as stack:
        first = stack.enter_context(Container(_tag("tool-api"), folder / "tool-api"))
        started = {"tool-api": first}
        for role in SCRIPTS:
            started[role] = stack.enter_context(_scripted(role, folder, first))
        for container in started.values():
            container.wait_until_healthy(seconds=START_S)
        started["orchestrator"] = orchestrator = stack.enter_context(_orchestrator(folder, first))
        seconds = orchestrator.wait_until_healthy(seconds=START_S)
        _require(_ask(orchestrator, 8000, "/v1/trajectories", "wrong", QUESTION)[0] == 401, "a wrong key was let in")
        status, answer = _ask(orchestrator, 8000, "/v1/trajectories", KEY, QUESTION)
        _require(status == 200 and answer.get("status") == "completed", f"{status}: {answer}")
        _require("4828.032" in answer["steps"][0]["observation"]["content"], json.dumps(answer["steps"]))
        status, answer = _ask(first, 8001, "/v1/plan", TOKEN, PLAN)
        _require(status == 200 and answer["next"] == "caller", f"{status}: {answer}")
        codes = {name: container.stop() for name, container in reversed(started.items())}
        _require(not any(codes.values()), f"exit codes {codes}")
    return f"orchestrator healthy in {seconds:.1f} s; all exit codes 0"


def _scripted(role: str, folder: Path, first: Container) -> Container:
    """A role service with a scripted engine. The planner's image contains the services of all roles."""
    models = _written(folder / f"{role}-models" / "script.json", SCRIPTS[role])
    port = {"planner": "8001", "caller": "8002", "summarizer": "8003"}[role]
    environment = {
        "ALPHA_UMI_ROLE_ENGINE": "scripted",
        "ALPHA_UMI_ROLE_SCRIPT": "/models/script.json",
        "ALPHA_UMI_ROLE_PORT": port,
        "ALPHA_UMI_ROLE_TOKEN": TOKEN,
    }
    command = () if role == "planner" else ("python", "-m", f"services.{role}")
    return Container(_tag("planner-cpu"), folder / role, environment, {"/models": models}, command, first)


def _orchestrator(folder: Path, first: Container) -> Container:
    """The services of the compose file, on one loopback network."""
    settings = _written(folder / "settings" / "tool_sources.yaml", SOURCES)
    environment = {
        "ALPHA_UMI_API_KEYS": KEY,
        "ALPHA_UMI_ROLE_TOKEN": TOKEN,
        "ALPHA_UMI_TOOL_SOURCES": "/etc/alpha-umi/tool_sources.yaml",
        "ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true",
    }
    mounts = {"/etc/alpha-umi": settings, "/var/lib/alpha-umi": volume(folder / "database")}
    return Container(_tag("orchestrator"), folder / "orchestrator", environment, mounts, beside=first)


def _real_engine(folder: Path) -> str:
    environment = {
        "ALPHA_UMI_ROLE_TOKEN": TOKEN,
        "ALPHA_UMI_ROLE_KV_CACHE_GIB": "0.5",
    }
    mounts = {"/var/cache/alpha-umi": volume(folder / "cache")}
    with _planner(folder / "first", environment, mounts) as planner:
        first = planner.wait_until_healthy(seconds=LOAD_S)
        status, answer = _ask(planner, 8001, "/v1/plan", TOKEN, PLAN)
        _require(status == 200 and answer["usage"]["completion_tokens"] > 0, f"{status}: {answer}")
        code = planner.stop()
        _require(code == 0, f"exit code {code} after SIGTERM\n{planner.output[-2000:]}")
    with _planner(folder / "second", environment, mounts) as planner:
        second = planner.wait_until_healthy(seconds=LOAD_S)
    return f"ready in {first:.0f} s, with the converted model in the cache in {second:.0f} s"


@contextmanager
def _planner(folder: Path, environment: dict[str, str], mounts: dict[str, Path]) -> Iterator[Container]:
    with Container(_tag("planner-cpu"), folder, environment, mounts) as container:
        yield container


def _ask(container: Container, port: int, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and document of a request from inside the container."""
    done = container.execute("python", "-c", _ASK, f"http://127.0.0.1:{port}{path}", key, json.dumps(body))
    _require(done.returncode == 0, done.stderr)
    status, _, document = done.stdout.partition(" ")
    return int(status), json.loads(document)


def _written(path: Path, content: Any) -> Path:
    """The folder of a new JSON file, which is YAML as well."""
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path.parent


def _tag(name: str) -> str:
    return RECIPES[name].tag


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise CheckFailed(otherwise)
