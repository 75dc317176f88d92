"""`up`, `demo` and `down` with the real services; only the language models are scripted."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.commands.lifecycle import UNTUNED_INSTRUCTION
from cli.local.services import ModelFolders, Ports, Script, service_table
from cli.local.state import ROLES, RunRecord, StateFolder
from cli.local.system import ensure_secrets_key
from orchestrator.tools.vault import Vault

Invoke = Callable[..., Any]
Gone = Callable[[int], bool]

# The first rule whose `when` is in the prompt is used.
SCRIPT = [
    {"when": "Make a conclusion", "texts": ["It has three words."]},
    {
        "when": "The thought of this step is",
        "texts": ['Action: text_metrics\nAction Input: {"text": "One two three."}'],
    },
    {"when": "observation: ", "texts": ["I know it. Next: conclusion."]},
    {"when": "", "texts": ["I look it up. Next: caller."]},
]
OPTIONS = ("--port", "--planner-port", "--caller-port", "--summarizer-port", "--tools-port")


@pytest.fixture
def arguments(ports: Callable[[], int], tmp_path: Path) -> list[str]:
    """Free ports and a script."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPT))
    return [word for option in OPTIONS for word in (option, str(ports()))] + ["--script", str(script)]


def test_the_main_job_from_start_to_end(
    invoke: Invoke, arguments: list[str], state: StateFolder, gone: Gone, pids_of: Callable[[RunRecord], list[int]]
) -> None:
    demo = invoke("demo", *arguments)
    assert demo.exit_code == 0, demo.output
    for part in ("alpha-umi is up", "I look it up.", '"words":3', "It has three words.", "completed", "Next:"):
        assert part in demo.stdout
    run = state.read_run()
    assert run is not None
    assert [service.name for service in run.services] == ["tools", *ROLES, "orchestrator"]
    pids = pids_of(run)

    again = invoke("up", *arguments)
    assert again.exit_code == 0
    assert "is up already" in again.stdout
    assert run.url_of("orchestrator") in again.stdout

    # A script has no manifest, so the easier question is used.
    identifier = next(line for line in demo.stdout.splitlines() if " show " in line).split()[-1]
    document = json.loads(invoke("show", identifier, "--json").stdout)
    assert (document["instruction"], document["tools"]) == (UNTUNED_INSTRUCTION, ["text_metrics"])

    answered = invoke("ask", "How many words?", "--tools", "text_metrics", "--json")
    assert answered.exit_code == 0, answered.output
    trajectory = json.loads(answered.stdout)
    assert trajectory["answer"] == "It has three words."
    for way in ([], ["--database", str(state.database)]):
        assert invoke("replay", trajectory["id"], *way).exit_code == 0
    models = invoke("models", "list").stdout
    assert models.count("scripted") == len(ROLES)

    down = invoke("down")
    assert (down.exit_code, down.stdout) == (0, "ended: tools, planner, caller, summarizer, orchestrator\n")
    assert all(map(gone, pids))
    assert invoke("down").stdout == "nothing was running\n"
    for log in state.logs.iterdir():
        assert run.role_token not in log.read_text()


def test_ctrl_c_before_the_answer_ends_everything(
    arguments: list[str], state: StateFolder, tmp_path: Path, gone: Gone, pids_of: Callable[[RunRecord], list[int]]
) -> None:
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps([{"texts": ["I think " * 50], "delay_s": 1}]))
    command = [sys.executable, "-m", "cli.main", "demo", *arguments, "--script", str(slow)]
    environment = {**os.environ, "ALPHA_UMI_STATE": str(state.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("Step 1"):
                break
        run = state.read_run()
        assert run is not None
        pids = pids_of(run)
        assert len(pids) == 5
        demo.send_signal(signal.SIGINT)
        output, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "cancelled" in output
    assert "interrupted" in errors
    assert all(map(gone, pids))
    assert state.read_run() is None


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.mark.parametrize("option", OPTIONS)
def test_a_taken_port_names_service_and_option(
    invoke: Invoke, arguments: list[str], state: StateFolder, taken: int, option: str
) -> None:
    before = len(psutil.Process().children())
    result = invoke("up", *arguments, option, str(taken))
    assert result.exit_code == 2
    service = {"--port": "orchestrator"}.get(option, option.removeprefix("--").removesuffix("-port"))
    assert f"port {taken} for the {service} is taken by another program ({option})" in result.stderr
    assert state.read_run() is None
    assert len(psutil.Process().children()) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sources: [{name: shop}]", "sources.0: Value error, give `url` or `document`"),
        ("[", "is neither YAML nor JSON"),
        ("sources: [{name: demo, url: 'http://127.0.0.1:1/'}]", "a source has the name 'demo' of the example tools"),
    ],
)
def test_tool_sources_that_cannot_be_used(
    invoke: Invoke, arguments: list[str], tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(content)
    result = invoke("up", *arguments, "--tool-sources", str(file))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_models_folder_without_all_roles_is_refused(
    invoke: Invoke, arguments: list[str], state: StateFolder, tmp_path: Path
) -> None:
    (tmp_path / "trained" / "planner").mkdir(parents=True)
    result = invoke("up", *arguments, "--models", str(tmp_path / "trained"))
    assert result.exit_code == 2
    assert "has no folder caller and no folder summarizer" in " ".join(result.stderr.split())
    assert state.read_run() is None


def test_services_have_the_settings_that_they_need(state: StateFolder, tmp_path: Path) -> None:
    folders = ModelFolders({role: tmp_path / role[0] for role in ROLES})
    table = service_table(Ports(tools=None), folders, state=state, token="secret", tool_sources=tmp_path / "sources")
    assert [service.name for service in table] == [*ROLES, "orchestrator"]
    *roles, orchestrator = table
    for role, folder in zip(roles, "pcs", strict=True):
        assert role.environment["ALPHA_UMI_ROLE_MODEL"] == str(tmp_path / folder)
        assert role.environment["ALPHA_UMI_ROLE_TOKEN"] == orchestrator.environment["ALPHA_UMI_ROLE_TOKEN"]
    assert orchestrator.environment["ALPHA_UMI_DATABASE_URL"] == f"sqlite:///{state.database}"
    assert orchestrator.environment["ALPHA_UMI_PLANNER_URL"] == "http://127.0.0.1:8001"
    assert "secret" not in repr(table)


def test_the_key_of_credentials_is_made_once(state: StateFolder) -> None:
    state.create()
    ensure_secrets_key(state)
    key = state.secrets_key.read_text()
    assert state.secrets_key.stat().st_mode & 0o077 == 0
    ensure_secrets_key(state)
    assert state.secrets_key.read_text() == key
    Vault(file=state.secrets_key)
    (*_, orchestrator) = service_table(Ports(), Script(), state=state, token="secret", tool_sources=None)
    assert orchestrator.environment["ALPHA_UMI_SECRETS_KEY_FILE"] == str(state.secrets_key)


def test_the_single_model_is_started_on_request(state: StateFolder, tmp_path: Path) -> None:
    ports = Ports(tools=None, backbone=8004)
    folders = ModelFolders({role: tmp_path / role[0] for role in (*ROLES, "backbone")})
    table = service_table(ports, folders, state=state, token="secret", tool_sources=None)
    *_, single, orchestrator = table
    assert (single.name, single.port, single.command[1:]) == ("backbone", 8004, ("-m", "services.backbone"))
    assert single.environment["ALPHA_UMI_ROLE_MODEL"] == str(tmp_path / "b")
    assert orchestrator.environment["ALPHA_UMI_BACKBONE_URL"] == "http://127.0.0.1:8004"
    assert ("backbone", 8004, "--backbone-port") in [(spec.service, spec.port, spec.option) for spec in ports.specs()]


def test_one_model_for_all_roles_is_one_process(state: StateFolder, tmp_path: Path) -> None:
    ports = Ports(tools=None, backbone=8004, shared=True)
    folders = ModelFolders(dict.fromkeys((*ROLES, "backbone"), tmp_path), template="chat")
    roles, single, orchestrator = service_table(ports, folders, state=state, token="secret", tool_sources=None)
    assert (roles.name, roles.port, roles.command[1:]) == ("roles", 8001, ("-m", "services.shared"))
    for service in (roles, single):
        assert service.environment["ALPHA_UMI_ROLE_MODEL"] == str(tmp_path)
        assert service.defaults["ALPHA_UMI_ROLE_TEMPLATE"] == "chat"
    assert {orchestrator.environment[f"ALPHA_UMI_{role.upper()}_URL"] for role in ROLES} == {"http://127.0.0.1:8001"}
    assert [(spec.service, spec.option) for spec in ports.specs()] == [
        ("roles", "--planner-port"),
        ("backbone", "--backbone-port"),
        ("orchestrator", "--port"),
    ]


def test_one_model_answers_a_question(invoke: Invoke, arguments: list[str], state: StateFolder, tmp_path: Path) -> None:
    up = invoke("up", *arguments, "--model", str(tmp_path))
    assert up.exit_code == 0, up.output
    run = state.read_run()
    assert run is not None
    assert {run.url_of(role) for role in ROLES} == {run.url_of("roles")}
    assert run.url_of("backbone") is None
    answered = invoke("ask", "How many words?", "--tools", "text_metrics", "--json")
    assert json.loads(answered.stdout)["answer"] == "It has three words."
    assert invoke("down").stdout == "ended: tools, roles, orchestrator\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "./nowhere"], "--model: there is no folder ./nowhere"),
        (["--model", "org/name", "--models", "org/name"], "--model excludes --models"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(
    invoke: Invoke, arguments: list[str], more: list[str], message: str
) -> None:
    result = invoke("up", *arguments, *more)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_script_replaces_models(state: StateFolder, tmp_path: Path) -> None:
    table = service_table(Ports(), Script(tmp_path / "x"), state=state, token="secret", tool_sources=None)
    assert table[0].name == "tools"
    assert table[1].environment["ALPHA_UMI_ROLE_SCRIPT"] == str(tmp_path / "x")
    assert "ALPHA_UMI_TOOL_SOURCES" not in table[-1].environment
