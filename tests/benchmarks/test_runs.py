"""The scripts of `runs/`: valid, with the right commands, continuing after a failure; one of them is executed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from support.generated_suites import sums_file
from support.system import call

from cli.main import app
from evaluation.files.step_run import read_run

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "runs").glob("*.sh"))
# Records its arguments, and writes the files that the command would write; fails where its arguments contain $FAIL.
STUB = r"""#!/bin/bash
[[ -z ${FAIL:-} || "$*" != *"$FAIL"* ]] || exit 1
echo "$*" >>"$LOG"
for word in "$@"; do
    [[ ${last:-} != --output && ${last:-} != --markdown ]] || out=$word
    last=$word
done
case "$1 $2" in
"train run") mkdir -p "$out/global/model"; touch "$out/global/model/stage.json" ;;
"train export") mkdir -p "$out" ;;
*) [[ -z ${out:-} ]] || touch "$out" ;;
esac
"""
# Returns the commands that a script gave, with $RUNS for its folder, and its exit code.
Commands = Callable[..., tuple[list[str], int]]


def check_options(line: str) -> None:
    """A command of the stub has the options of the real one."""
    command: Any = typer.main.get_command(app)
    words = line.split()
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known, line


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    program = tmp_path / "bin" / "alpha-umi"
    program.parent.mkdir()
    program.write_text(STUB)
    program.chmod(0o755)

    def run(script: str, **environment: str) -> tuple[list[str], int]:
        log = tmp_path / "log"
        log.write_text("")
        path = f"{program.parent}:{os.environ['PATH']}"
        given = {**os.environ, "PATH": path, "LOG": str(log), "RUNS": str(tmp_path / "out"), **environment}
        done = subprocess.run(["bash", f"runs/{script}"], cwd=ROOT, env=given, capture_output=True, text=True)
        lines = log.read_text().replace(str(tmp_path / "out"), "$RUNS").splitlines()
        for line in lines:
            check_options(line)
        return lines, done.returncode

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(script: Path) -> None:
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)
    beside = Path(sys.executable).with_name("shellcheck")
    shellcheck = str(beside) if beside.exists() else shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_suites_are_measured_with_the_scripted_engine(tmp_path: Path) -> None:
    suite = sums_file(tmp_path, 3)
    rules = [
        {"when": "Base on the thought", "texts": [call("calculator", {"expression": "1+1"})]},
        {"when": "Make a conclusion", "texts": ["It is 2."]},
        {"when": "observation:", "texts": ["It is known now. Next: conclusion."]},
        {"when": "", "texts": ["I compute it. Next: caller."]},
    ]
    (tmp_path / "script.json").write_text(json.dumps(rules))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNS": str(tmp_path / "out"), "SUITES": str(suite), "TRAJECTORY_SUITES": "", "STEPS": "4",
        "ALPHA_UMI_DATA": str(tmp_path), "ALPHA_UMI_ROLE_ENGINE": "scripted",
        "ALPHA_UMI_ROLE_SCRIPT": str(tmp_path / "script.json"),
    }  # fmt: skip
    subprocess.run(["bash", "runs/suites.sh"], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
    for mode in ("constrained", "unconstrained"):
        run = read_run(tmp_path / "out" / f"steps-sums-{mode}-chain.jsonl")
        assert (run.about.constrained, len(run.predictions)) == (mode == "constrained", 4)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "B steps-sums-unconstrained-chain less A steps-sums-constrained-chain, by groups of steps" in report


def test_suites_commands(commands: Commands) -> None:
    given = {"SUITES": "gsm8k", "TRAJECTORY_SUITES": "gsm8k", "MODELS": "models"}
    first, code = commands("suites.sh", **given, FAIL="--unconstrained --strategy")
    generate = (
        "evaluate generate --in-process --models models --{0} --strategy {1} --suite gsm8k --limit 50 "
        "--output $RUNS/steps-gsm8k-{0}-{1}.jsonl.part"
    )
    assert (code, first) == (1, [generate.format("constrained", "chain")])
    second, code = commands("suites.sh", **given)
    up = "up --no-example-tools --models models --state-dir $RUNS/state"
    down = "down --state-dir $RUNS/state"
    assert code == 0
    assert second == [
        generate.format("unconstrained", "chain"),
        *(
            line
            for mode in ("constrained", "unconstrained")
            for line in (
                down,
                up,
                "evaluate trajectories --state-dir $RUNS/state --concurrency 2 --strategy chain --suite gsm8k "
                f"--limit 8 --max-steps 4 --output $RUNS/trajectories-gsm8k-{mode}-chain.jsonl.part",
            )
        ),
        "evaluate report $RUNS/steps-gsm8k-constrained-chain.jsonl $RUNS/steps-gsm8k-unconstrained-chain.jsonl "
        "$RUNS/trajectories-gsm8k-constrained-chain.jsonl $RUNS/trajectories-gsm8k-unconstrained-chain.jsonl "
        "--examples 0 --markdown $RUNS/report.md",
        down,
    ]
    again, _ = commands("suites.sh", **given)
    assert [line.split()[1] for line in again] == ["report"]
    # The single model beside the three: only what is missing runs.
    both, code = commands("suites.sh", **given, STRATEGIES="chain single", MODES="constrained")
    assert code == 0
    assert both[:3] == [generate.format("constrained", "single"), down, up.replace("up", "up --single", 1)]
    assert [line.split()[1] for line in both[3:]] == ["trajectories", "report", "--state-dir"]


def test_variants_commands(commands: Commands) -> None:
    given = {"DATA": "prepared", "VARIANTS": "alpha-umi single-llm", "SUITES": "gsm8k", "MAX_TOKENS": "4000"}
    first, code = commands("variants.sh", **given, FAIL="--unconstrained")
    train = "train run {0} --config smollm2-135m --data prepared --seed 0 --max-tokens 4000{1} --output $RUNS/{0}-0/run"
    export = "train export $RUNS/{0}-0/run --output $RUNS/{0}-0/models"
    merge = "train export $RUNS/{0}-0/run --merged --output $RUNS/{0}-0/merged"
    generate = (
        "evaluate generate --in-process --models $RUNS/{0}-0/merged --{1} --strategy {2} --suite gsm8k --limit 200 "
        "--output $RUNS/{0}-0/gsm8k-{1}.jsonl.part"
    )
    assert code == 1
    assert first == [
        train.format("alpha-umi", ""),
        export.format("alpha-umi"),
        merge.format("alpha-umi"),
        generate.format("alpha-umi", "constrained", "chain"),
    ]
    second, code = commands("variants.sh", **given)
    assert code == 0
    reports = [
        f"evaluate report $RUNS/single-llm-0/gsm8k-{mode}.jsonl $RUNS/alpha-umi-0/gsm8k-{mode}.jsonl "
        "--training $RUNS/alpha-umi-0/run --training $RUNS/single-llm-0/run --examples 0 "
        f"--markdown $RUNS/report-0-{mode}.md"
        for mode in ("constrained", "unconstrained")
    ]
    assert second == [
        # It continues, or has nothing to do.
        train.format("alpha-umi", ""),
        generate.format("alpha-umi", "unconstrained", "chain"),
        train.format("single-llm", " --reuse $RUNS/alpha-umi-0/run"),
        export.format("single-llm"),
        merge.format("single-llm"),
        generate.format("single-llm", "constrained", "single"),
        generate.format("single-llm", "unconstrained", "single"),
        *reports,
    ]
    assert commands("variants.sh", **{**given, "DATA": ""})[1] != 0


def test_one_command_works_in_a_folder(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with subprocess.Popen(["flock", tmp_path / "out" / ".lock", "sleep", "60"]) as holder:
        try:
            while (
                subprocess.run(["flock", "--nonblock", tmp_path / "out" / ".lock", "true"], check=False).returncode == 0
            ):
                pass
            assert commands("variants.sh", DATA="prepared") == ([], 1)
        finally:
            holder.terminate()


def test_examples_commands(commands: Commands, tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/bash\necho "$*" >>"$PYTHON_LOG"\n')
    python.chmod(0o755)
    given, code = commands("examples.sh", MODELS="models", PYTHON_LOG=str(tmp_path / "python.log"))
    assert code == 0
    assert given == [
        "down --state-dir $RUNS/state",
        "up --models models --state-dir $RUNS/state",
        "evaluate report $RUNS/examples.jsonl --examples 20 --output $RUNS/report.html",
        "down --state-dir $RUNS/state",
    ]
    module = (tmp_path / "python.log").read_text().replace(str(tmp_path / "out"), "$RUNS")
    assert module == (
        "-m benchmarks.example_questions --questions examples/instructions.jsonl --strategy chain "
        "--state-dir $RUNS/state --output $RUNS/examples.jsonl\n"
    )


def test_ablations_commands(commands: Commands, tmp_path: Path) -> None:
    for variant in ("single-llm-0", "alpha-umi-0"):
        (tmp_path / "out" / variant).mkdir(parents=True)
    given, code = commands("ablations.sh", SUITES="gsm8k", TRAJECTORY_SUITES="gsm8k")
    assert code == 0
    assert given[0] == "train export $RUNS/single-llm-0/run --output $RUNS/alpha-umi-0/models"
    runs = [line for line in given if line.startswith("evaluate trajectories")]
    begin = "evaluate trajectories --state-dir $RUNS/ablations/state --limit 20 --suite gsm8k"
    assert runs == [
        f"{begin} --strategy single --output $RUNS/single-llm-0/gsm8k-chain.jsonl.part",
        f"{begin} --output $RUNS/alpha-umi-0/gsm8k-chain.jsonl.part",
        f"{begin} --max-repeats 64 --output $RUNS/alpha-umi-0/gsm8k-unguarded.jsonl.part",
        f"{begin} --strategy dfsdt --output $RUNS/alpha-umi-0/gsm8k-dfsdt.jsonl.part",
        f"{begin} --output $RUNS/alpha-umi-0/gsm8k-unconstrained.jsonl.part",
    ]
    # Two systems: with grammars, and without for the last run.
    assert [line.split()[0] for line in given if line.split()[0] in ("up", "down")] == ["down", "up"] * 2 + ["down"]
    compared = [line.removeprefix("evaluate compare ") for line in given if line.startswith("evaluate compare")]
    assert "$RUNS/single-llm-0/gsm8k-unconstrained.jsonl $RUNS/alpha-umi-0/gsm8k-unconstrained.jsonl" in compared
    assert "$RUNS/alpha-umi-0/gsm8k-constrained.jsonl $RUNS/alpha-umi-0/gsm8k-unconstrained.jsonl" in compared
    assert "$RUNS/alpha-umi-0/gsm8k-chain.jsonl $RUNS/alpha-umi-0/gsm8k-dfsdt.jsonl --format trajectories" in compared
    again, _ = commands("ablations.sh", SUITES="gsm8k", TRAJECTORY_SUITES="gsm8k")
    assert not [line for line in again if line.startswith(("up", "evaluate trajectories"))]
