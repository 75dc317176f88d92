"""`evaluate generate --in-process`: the services' applications without servers, and the end of their engines."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
from rich.console import Console
from support.generated_suites import sums_file
from support.model_hub import ModelHub, files_of
from support.plain_models import TokenizingEngine, write_plain_model
from support.role_apps import CANARY_PROMPT, scripted
from support.serving_on_loopback import until
from support.system import call
from support.tiny_models import ROLES, manifest, write_backbone
from typer.testing import Result

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving import loading
from alpha_umi.serving.host import Canary, ServedModel
from alpha_umi.serving.loading import RoleEngine
from alpha_umi.serving.manifest import CanaryText, load_manifest, write_manifest
from alpha_umi.serving.scripted import CANARY, Rule, ScriptedEngine
from alpha_umi.serving.settings import RoleSettings
from alpha_umi.serving.shared import SharedEngine
from alpha_umi.serving.weights.canary import write_canary
from cli.commands import generate
from cli.errors import UsageProblem
from cli.generation_view import loading as loading_view
from cli.generation_view import progress_bar
from cli.in_process import LoadedRoles, ModelChoice, load_roles
from evaluation.files.step_run import read_run

Invoke = Callable[..., Result]

# One engine plays every role: it is told by the prompt which one.
RULES: tuple[dict[str, Any], ...] = (
    {"when": "Base on the thought", "texts": [call("calculator", {"expression": "1+1"})]},
    {"when": "Make a conclusion", "texts": ["It is 2."]},
    {"when": "answer the action of next step", "texts": ["It is known. conclusion: 2"]},
    {"when": "observation:", "texts": ["It is known now. Next: conclusion."]},
    {"when": "", "texts": ["I compute it. Next: caller."]},
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Remove this machine's settings."""
    for name in [name for name in os.environ if name.startswith("ALPHA_UMI_") and name != "ALPHA_UMI_CACHE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    config = structlog.get_config()
    yield
    structlog.configure(**config)


@pytest.fixture
def scripted_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Role settings for an engine that calls the calculator once, and then answers; the file of its script."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps(RULES))
    monkeypatch.setenv("ALPHA_UMI_ROLE_ENGINE", "scripted")
    monkeypatch.setenv("ALPHA_UMI_ROLE_SCRIPT", str(script))
    return script


def arguments(folder: Path, *more: str, count: int = 20) -> list[str]:
    suite = str(sums_file(folder, count))
    return ["evaluate", "generate", "--in-process", "--suite", suite, "--output", str(folder / "run.jsonl"), *more]


def stderr_of(result: Result) -> str:
    return " ".join(result.stderr.split())


@pytest.mark.usefixtures("scripted_engine")
def test_all_roles_predict_without_a_service(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*arguments(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/run.jsonl: 40 predictions\n")
    assert "planner: scripted; the manifest does not say" in stderr_of(result)
    run = read_run(tmp_path / "run.jsonl")
    assert list(run.about.models) == ["planner", "caller", "summarizer"]
    by_id = {prediction.id: prediction for prediction in run.predictions}
    first, second = by_id[run.cases[0].id], by_id[run.cases[1].id]
    assert [output.role for output in first.outputs] == ["planner", "caller"]
    assert (first.parsed.call is not None, second.parsed.answer) == (True, "It is 2.")


@pytest.mark.usefixtures("scripted_engine")
def test_the_single_model_predicts_alone(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*arguments(tmp_path, "--strategy", "single", "--limit", "2", "--unconstrained"))
    assert result.exit_code == 0
    run = read_run(tmp_path / "run.jsonl")
    assert list(run.about.models) == ["backbone"]
    assert {output.role for prediction in run.predictions for output in prediction.outputs} == {"backbone"}


def test_a_chat_server_needs_no_models_here(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"ENGINE": "remote", "REMOTE_API": "chat", "REMOTE_URL": "http://gpu:8000", "REMOTE_MODEL": "org/small"}
    for name, value in settings.items():
        monkeypatch.setenv(f"ALPHA_UMI_ROLE_{name}", value)
    roles = load_roles(ModelChoice(), ROLES, Console())
    assert {engine.model.name for engine in roles.engines.values()} == {"org/small"}
    assert roles.remote
    monkeypatch.setenv("ALPHA_UMI_ROLE_MODEL", "org/other")
    with pytest.raises(UsageProblem, match="ALPHA_UMI_ROLE_MODEL is set"):
        load_roles(ModelChoice(), ROLES, Console())


def test_an_instruct_model_needs_no_manifest(
    tmp_path: Path, embedded_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpha_umi.serving.loading._vllm", TokenizingEngine)
    folder = write_plain_model(tmp_path / "instruct", embedded_model)
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    with pytest.raises(UsageProblem, match="a model folder needs this file"):
        load_roles(ModelChoice(model=str(folder)), ROLES, Console())
    monkeypatch.setenv("ALPHA_UMI_ROLE_TEMPLATE", "chat")
    roles = load_roles(ModelChoice(model=str(folder)), ROLES, Console())
    assert {(engine.model.name, engine.engine.context) for engine in roles.engines.values()} == {("instruct", 2_048)}


def roles_of(engine: ScriptedEngine, canary: str = CANARY, roles: Sequence[Role] = ROLES) -> LoadedRoles:
    """One engine for all roles, as it is loaded for one model folder."""
    shared, template = SharedEngine(engine), load_template("toolbench")
    engines = {
        role: RoleEngine(shared.view(role), ServedModel(role, "m", template, Canary(CANARY_PROMPT, canary)))
        for role in roles
    }
    return LoadedRoles(engines, dict.fromkeys(roles, 64))


class MortalEngine(ScriptedEngine):
    """Dies after a number of prompts, like a killed engine process."""

    lives_for = 30

    async def check(self) -> None:
        self.dead = self.dead or len(self.prompts) > self.lives_for
        await super().check()


def test_an_engine_that_dies_leaves_a_file_that_can_go_on(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [Rule(**rule) for rule in RULES]
    engines = [MortalEngine(scripted(*rules).rules, context=4_096), scripted(*rules)]
    monkeypatch.setattr(generate, "load_roles", lambda *_: roles_of(engines.pop(0)))
    ended = invoke(*arguments(tmp_path, "--concurrency", "3"))
    assert (ended.exit_code, ended.stdout) == (1, "")
    written = len(read_run(tmp_path / "run.jsonl").predictions)
    assert 0 < written < 40
    assert f"an engine died; {tmp_path}/run.jsonl has {written} of 40 predictions" in stderr_of(ended)
    assert "run the same command again to resume; the full log is" in stderr_of(ended)
    assert "engine.dead" in (tmp_path / "run.jsonl.log").read_text()
    done = invoke(*arguments(tmp_path))
    assert done.stdout == f"{tmp_path}/run.jsonl: 40 predictions, {written} of them from before\n"


def test_an_engine_that_computes_wrongly_is_refused(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "load_roles", lambda *_: roles_of(scripted(), canary="London"))
    ended = invoke(*arguments(tmp_path))
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "the planner cannot be used: the canary wrote" in stderr_of(ended)
    assert f"the full log is {tmp_path}/run.jsonl.log" in stderr_of(ended)
    assert not (tmp_path / "run.jsonl").exists()


class UnloadableEngine(ScriptedEngine):
    """An engine whose model cannot be loaded."""

    async def start(self) -> None:
        raise RuntimeError("not enough memory for the weights")


def test_an_engine_that_does_not_start_shows_its_log(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "load_roles", lambda *_: roles_of(UnloadableEngine([])))
    ended = invoke(*arguments(tmp_path))
    assert ended.exit_code == 1
    assert "the planner cannot be used" in stderr_of(ended)
    assert "not enough memory for the weights" in stderr_of(ended)


@dataclass
class MadeEngines:
    """The folders that engines were made for, and their settings."""

    folders: list[Path] = field(default_factory=list)
    settings: list[RoleSettings] = field(default_factory=list)

    def __call__(self, settings: RoleSettings, folder: Path, _: int) -> ScriptedEngine:
        self.folders.append(folder)
        self.settings.append(settings)
        return scripted(*(Rule(**rule) for rule in RULES))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> MadeEngines:
    """Scripted engines stand in for those of model folders."""
    engines = MadeEngines()
    monkeypatch.setattr(loading, "_engine", engines)
    return engines


def write_model(folder: Path, role: Role) -> Path:
    """A folder that holds a role's model as far as its manifest says."""
    folder.mkdir(parents=True)
    canary = CanaryText(prompt=CANARY_PROMPT, expected=CANARY)
    write_manifest(folder, manifest(role).model_copy(update={"canary": canary}))
    return folder


def test_roles_share_the_engine_of_one_model_and_its_memory(invoke: Invoke, tmp_path: Path, made: MadeEngines) -> None:
    model = write_model(tmp_path / "model", "backbone")
    assert invoke(*arguments(tmp_path, "--model", str(model))).exit_code == 0
    assert made.folders == [model]
    [settings] = made.settings
    assert (settings.kv_cache_gib, settings.gpu_memory_utilization, settings.max_model_len) == (1.5, 0.9, 4_096)


def test_models_of_their_own_share_the_memory(
    invoke: Invoke, tmp_path: Path, made: MadeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHA_UMI_ROLE_MAX_MODEL_LEN", "2048")
    for role in ROLES:
        write_model(tmp_path / "models" / role, role)
    assert invoke(*arguments(tmp_path, "--models", str(tmp_path / "models"))).exit_code == 0
    assert made.folders == [tmp_path / "models" / role for role in ROLES]
    shares = {(each.kv_cache_gib, round(each.gpu_memory_utilization, 3)) for each in made.settings}
    assert shares == {(0.5, 0.3)}
    assert {each.max_model_len for each in made.settings} == {2_048}


def test_one_folder_under_three_names_is_one_model(invoke: Invoke, tmp_path: Path, made: MadeEngines) -> None:
    model = write_model(tmp_path / "model", "backbone")
    (tmp_path / "models").mkdir()
    for role in ROLES:
        (tmp_path / "models" / role).symlink_to(model)
    assert invoke(*arguments(tmp_path, "--models", str(tmp_path / "models"))).exit_code == 0
    assert made.folders == [model]


def hub_model(folder: Path, role: Role) -> Path:
    """The same with a file of weights."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(role.encode())
    canary = CanaryText(prompt=CANARY_PROMPT, expected=CANARY)
    write_manifest(folder, manifest(role).model_copy(update={"canary": canary}))
    return folder


def test_a_run_file_names_the_commit_of_a_model_from_the_hub(
    invoke: Invoke, tmp_path: Path, made: MadeEngines, model_hub: ModelHub
) -> None:
    commit = model_hub.add("org/tiny").commit(files_of(hub_model(tmp_path / "one", "backbone")))
    for role in ROLES:
        hub_model(tmp_path / "all" / role, role)
    roles = model_hub.add("org/roles").commit(files_of(tmp_path / "all"))
    assert invoke(*arguments(tmp_path, "--model", "org/tiny@main")).exit_code == 0
    models = read_run(tmp_path / "run.jsonl").about.models
    assert [models[role]["hub"] for role in ROLES] == [[f"org/tiny@{commit}"]] * 3
    (tmp_path / "run.jsonl").unlink()
    assert invoke(*arguments(tmp_path, "--models", "org/roles")).exit_code == 0
    models = read_run(tmp_path / "run.jsonl").about.models
    assert [models[role]["hub"] for role in ROLES] == [[f"org/roles@{roles}"]] * 3
    assert len(made.folders) == 4


def test_a_model_that_the_hub_lacks_is_one_sentence(invoke: Invoke, tmp_path: Path, model_hub: ModelHub) -> None:
    result = invoke(*arguments(tmp_path, "--model", "org/tyni"))
    assert result.exit_code == 1
    assert "org/tyni: there is no such folder, and http://127.0.0.1:" in stderr_of(result)
    assert model_hub.fetched() == set()


@pytest.fixture
def planner_model(tmp_path: Path) -> Path:
    """A folder that holds a planner as far as its manifest says."""
    return write_model(tmp_path / "trained" / "planner", "planner")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "{0}/trained"), "has no folder caller and no folder summarizer"),
        (("--model", "{0}/trained/planner"), "trained/planner holds a planner, not a caller"),
        (("--model", "{0}"), "config.json: No such file or directory; a checkpoint needs this file"),
        (("--model", "{0}", "--models", "{0}"), "--models excludes --model and --adapters"),
        (("--model", "{0}", "--adapters", "{0}"), "config.json: No such file or directory"),
        (("--planner-url", "http://x"), "--in-process uses no service, but the planner's address is http://x"),
        (("--output", "/no/folder/run.jsonl", "--model", "{0}"), "config.json"),
    ],
)
@pytest.mark.usefixtures("planner_model")
def test_errors_name_the_cause(invoke: Invoke, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = invoke(*arguments(tmp_path, *(option.format(tmp_path) for option in options)))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in stderr_of(result)
    assert "Traceback" not in result.stderr


def test_settings_that_cannot_be_are_named(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_ROLE_THREADS", "none")
    result = invoke(*arguments(tmp_path))
    assert result.exit_code == 2
    assert "ALPHA_UMI_ROLE_THREADS: Input should be a valid integer" in stderr_of(result)


def test_models_are_for_engines_in_process(invoke: Invoke, tmp_path: Path) -> None:
    command = [word for word in arguments(tmp_path, "--model", str(tmp_path)) if word != "--in-process"]
    result = invoke(*command)
    assert result.exit_code == 2
    assert "are for models in this process → add --in-process" in stderr_of(result)


def test_a_terminal_shows_nothing_that_engines_write() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200)
    streams = (sys.stdout, sys.stderr)
    with loading_view(console, Path("[run].jsonl.log")):
        assert (sys.stdout, sys.stderr) == streams
    with progress_bar(console, 2):
        assert (sys.stdout, sys.stderr) == streams
    assert "loading; the engines' log is [run].jsonl.log" in shown.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(scripted_engine: Path, tmp_path: Path, number: signal.Signals) -> None:
    scripted_engine.write_text(json.dumps([{**rule, "delay_s": 0.05} for rule in RULES]))
    with started(tmp_path, "--concurrency", "2") as process:
        asyncio.run(until(lambda: predictions_in(tmp_path) > 0, seconds=60))
        process.send_signal(number)
        _, message = process.communicate(timeout=10)
    assert (process.returncode, message.splitlines()[-1]) == (130, "interrupted")
    assert 0 < len(read_run(tmp_path / "run.jsonl").predictions) < 40


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli.main", *arguments(folder, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def predictions_in(folder: Path) -> int:
    output = folder / "run.jsonl"
    return output.read_bytes().count(b'{"kind":"prediction"') if output.exists() else 0


@pytest.fixture(scope="module")
def tiny_model(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone that writes nonsense quickly."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    write_backbone(folder, embedded_model)
    write_manifest(folder, load_manifest(folder).model_copy(update={"canary": write_canary(folder)}))
    return folder


@pytest.mark.engine
@pytest.mark.timeout(400)
def test_two_steps_of_a_real_engine(tiny_model: Path, tmp_path: Path) -> None:
    with started(tmp_path, "--limit", "2", "--model", str(tiny_model)) as process:
        # By then nothing large is there any more that only led to the engine.
        asyncio.run(until(lambda: predictions_in(tmp_path) > 0, seconds=200))
        engines = engines_of(process.pid)
        shown, message = process.communicate(timeout=200)
    assert (process.returncode, shown) == (0, f"{tmp_path}/run.jsonl: 2 predictions\n"), message
    assert len(engines) == 1, "the roles share it"
    assert f"planner: {load_manifest(tiny_model).name}; " in message
    assert "vllm" not in message
    assert not psutil.wait_procs(engines, timeout=5)[1]
    run = read_run(tmp_path / "run.jsonl")
    assert all(prediction.outputs[0].completion_tokens > 0 for prediction in run.predictions)


@pytest.mark.engine
@pytest.mark.timeout(400)
def test_a_killed_command_leaves_no_engine_behind(tiny_model: Path, tmp_path: Path) -> None:
    with started(tmp_path, "--model", str(tiny_model)) as process:
        asyncio.run(until(lambda: predictions_in(tmp_path) > 0, seconds=200))
        engines = engines_of(process.pid)
        process.kill()
    assert engines
    assert not psutil.wait_procs(engines, timeout=5)[1]


def engines_of(pid: int) -> list[psutil.Process]:
    """The processes that have the libraries of a language model loaded."""
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if child.memory_info().rss > 300 * 2**20]
