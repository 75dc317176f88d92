"""The compose file, executed: every service's command with its environment, started and stopped as by Compose.

Only the language models are scripted, by additional variables.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values
from support.compose_processes import Deployment, deployed
from support.deployment_files import ROOT, services
from support.system import call

from alpha_umi.web.key_file import create_key

KEY = "the-key-of-a-user-6a1f93e0"
QUESTION = "How many metres are 3 miles?"
ANSWER = "3 miles are 4828.032 metres."

CALL = call("convert_unit", {"value": 3, "from_unit": "mile", "to_unit": "metre"})
# The script of each role; on a shared engine each role has its own adapter.
SCRIPTS: dict[str, list[dict[str, Any]]] = {
    "planner": [
        {"texts": ["The length is known now. Next: conclusion."], "when": "4828"},
        {"texts": ["The miles have to be converted. Next: caller."]},
    ],
    "caller": [{"texts": [CALL]}],
    "summarizer": [{"texts": [ANSWER]}],
    "backbone": [
        {"texts": [f"The length is known now.\nconclusion: {ANSWER}"], "when": "4828"},
        {"texts": [CALL], "when": "The miles have to be converted.\n"},
        {"texts": ["The miles have to be converted.\nAction:"]},
    ],
}
# The services of a deployment, and the strategies that its trajectories can use.
DEPLOYMENTS = {
    ("gpu",): ["chain"],
    ("gpu", "single"): ["chain", "single"],
    ("shared",): ["chain"],
    ("cpu",): ["chain"],
    ("shared", "single"): ["chain", "single"],
}


def environment_file(folder: Path, **values: str) -> dict[str, str]:
    """The variables of `.env` by its example: the secrets are set, and `values` override others."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    (folder / "models").mkdir()
    chosen = {
        "ALPHA_UMI_API_KEYS": KEY,
        "ALPHA_UMI_ROLE_TOKEN": "a-token-of-the-tests-4be82d65",
        "ALPHA_UMI_MODELS": f"{folder}/models",
    }
    for name, value in (chosen | values).items():
        assert f"{name}=" in text
        text += f"{name}={value}\n"
    read = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value or "" for name, value in read.items()}


def overrides(names: Iterable[str], folder: Path) -> dict[str, dict[str, str]]:
    """Scripted engines; and tools on loopback, where the containers' own networks would be private ones."""
    result: dict[str, dict[str, str]] = {}
    for name in names:
        if name.startswith("orchestrator"):
            result[name] = {"ALPHA_UMI_ALLOW_LOOPBACK_TOOLS": "true"}
        elif name != "tool-api":
            script = folder / f"{name}.json"
            script.write_text(json.dumps(script_of(name.removesuffix("-cpu"))))
            result[name] = {"ALPHA_UMI_ROLE_ENGINE": "scripted", "ALPHA_UMI_ROLE_SCRIPT": str(script)}
    return result


def script_of(service: str) -> list[dict[str, Any]]:
    if service == "roles":
        roles = ("planner", "caller", "summarizer")
        return [{**rule, "adapter": role} for role in roles for rule in SCRIPTS[role]]
    return SCRIPTS[service]


@pytest.fixture(params=DEPLOYMENTS, ids=",".join)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    chosen = {"ALPHA_UMI_BACKBONE_URL": "http://backbone:8004"} if "single" in request.param else {}
    variables = environment_file(tmp_path, **chosen)
    entries = services(*request.param, "examples", **variables)
    with deployed(entries, tmp_path, variables, overrides(entries, tmp_path)) as running:
        yield running


@contextlib.contextmanager
def alone(name: str, folder: Path, overrides: Mapping[str, str], **values: str) -> Iterator[Deployment]:
    """One service without its dependencies."""
    variables = environment_file(folder, **values)
    with deployed({name: services(**variables)[name]}, folder, variables, {name: overrides}) as running:
        yield running


def orchestrator(running: Deployment) -> httpx.Client:
    [name] = [name for name in running.containers if name.startswith("orchestrator")]
    return httpx.Client(base_url=running.address(name, 8000), timeout=30)


def answered(client: httpx.Client, strategy: str) -> None:
    """A trajectory that follows the strategy, with one call of a tool."""
    trajectory = client.post("/v1/trajectories", json={"instruction": QUESTION, "strategy": strategy}).json()
    assert trajectory["status"] == "completed", trajectory["error"]
    assert trajectory["answer"].strip() == ANSWER
    assert trajectory["strategy"] == strategy
    assert trajectory["steps"][0]["action"]["name"] == "convert_unit"
    assert "4828.032" in trajectory["steps"][0]["observation"]["content"]


def test_every_service_is_in_a_deployment() -> None:
    assert {name for profiles in DEPLOYMENTS for name in services(*profiles, "examples")} == {*services()}


def test_a_deployment_answers_and_stops(running: Deployment, request: pytest.FixtureRequest) -> None:
    before = {name: container.files() for name, container in running.containers.items()}
    strategies = DEPLOYMENTS[request.node.callspec.params["running"]]
    with orchestrator(running) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.post("/v1/trajectories", json={"instruction": QUESTION}).status_code == 401
        client.headers["authorization"] = "Bearer another-key"
        assert client.post("/v1/trajectories", json={"instruction": QUESTION}).status_code == 401
        client.headers["authorization"] = f"Bearer {KEY}"
        for strategy in strategies:
            answered(client, strategy)
        if "single" not in strategies:
            refused = client.post("/v1/trajectories", json={"instruction": QUESTION, "strategy": "single"})
            assert refused.status_code == 422
    assert running.stop() == dict.fromkeys(running.containers, 0)
    written = {name: container.files() - before[name] for name, container in running.containers.items()}
    assert not any(written.values()), "a container's root is read-only"


def test_the_orchestrator_alone_is_healthy_and_not_ready(tmp_path: Path) -> None:
    """It is not restarted because its roles are down. Its keys come from a folder here."""
    (tmp_path / "keys").mkdir()
    key = create_key(tmp_path / "keys" / "api_keys").text
    values = {"ALPHA_UMI_API_KEYS": "", "ALPHA_UMI_API_KEYS_FOLDER": f"{tmp_path}/keys"}
    with alone("orchestrator-shared", tmp_path, {}, **values) as running, orchestrator(running) as client:
        result = client.get("/readyz")
        assert result.status_code == 503
        assert result.json()["type"].endswith("role-unavailable")
        assert client.get("/v1/tools").status_code == 401
        assert client.get("/v1/tools", headers={"authorization": f"Bearer {key}"}).status_code == 200
        assert running.stop() == {"orchestrator-shared": 0}


@pytest.mark.parametrize("name", ["orchestrator", "planner", "roles"])
def test_nothing_listens_for_others_without_a_secret(name: str, tmp_path: Path) -> None:
    """`0.0.0.0` as in a container; other tests replace it by a loopback address."""
    secret = "ALPHA_UMI_API_KEYS" if name == "orchestrator" else "ALPHA_UMI_ROLE_TOKEN"
    host = {"ALPHA_UMI_HOST": "0.0.0.0", "ALPHA_UMI_ROLE_HOST": "0.0.0.0"}
    with pytest.raises(RuntimeError) as refusal, alone(name, tmp_path, host | {secret: ""}):
        pass
    assert f"{name}, exit code 2" in str(refusal.value)
    assert secret in str(refusal.value)


def test_a_value_that_a_setting_cannot_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as refusal, alone("orchestrator", tmp_path, {}, ALPHA_UMI_MAX_STEPS="many"):
        pass
    assert "exit code 2" in str(refusal.value)
    assert "ALPHA_UMI_MAX_STEPS" in str(refusal.value)
