"""A metric is one function and one table entry: tables, JSON, comparisons and gates follow from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.measured_steps import GAVE_UP, case_of, right, run_of
from support.synthetic_trajectories import trajectory_run, written

from evaluation.files.published import pair
from evaluation.files.step_run import write_run

ROOT = Path(__file__).parents[3]
# Runs commands with one line more in one module, and prints their exit codes and outputs as JSON.
PROGRAM = """
import importlib.util, json, sys
module, before, line, commands = json.loads(sys.argv[1])
spec = importlib.util.find_spec(module)
source = spec.loader.get_source(module)
assert source.count(before) == 1
patched = importlib.util.module_from_spec(spec)
sys.modules[module] = patched
exec(compile(source.replace(before, line + before), spec.origin, "exec"), patched.__dict__)
from cli.main import app
from typer.testing import CliRunner
results = [CliRunner().invoke(app, command) for command in commands]
print(json.dumps([(result.exit_code, result.stdout) for result in results]))
"""


def outputs(module: str, before: str, line: str, *commands: tuple[str, ...]) -> list[tuple[int, str]]:
    arguments = json.dumps([module, before, line, commands])
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return [(code, text) for code, text in json.loads(ended.stdout)]


def step_file(path: Path, correct: int) -> str:
    """Calls of 100 trajectories: the first `correct` are right, the others given up."""
    cases = [case_of(f"{number}/1") for number in range(100)]
    pairs = [pair(case, right(case) if number < correct else GAVE_UP) for number, case in enumerate(cases)]
    write_run(path, run_of(pairs))
    return str(path)


def trajectory_file(path: Path, correct: int) -> str:
    """100 trajectories: the first `correct` have the right answer."""
    path.write_text(written(trajectory_run([number < correct for number in range(100)])))
    return str(path)


STEPS = (
    step_file,
    "evaluation.metrics",
    '    Metric("call_match"',
    '    Metric("stops", "stops early", lambda step: float(step.prediction.decision == "give up"), "lower"),\n',
    (),
)
TRAJECTORIES = (
    trajectory_file,
    "evaluation.metrics.trajectory",
    '    Metric("gave_up"',
    '    Metric("stops", "stops early", lambda each: float(not each.right), "lower"),\n',
    ("--format", "trajectories"),
)


@pytest.mark.parametrize(
    ("write", "module", "before", "line", "options"), [STEPS, TRAJECTORIES], ids=["step", "trajectory"]
)
def test_a_metric_is_one_line(
    tmp_path: Path, write: Callable[[Path, int], str], module: str, before: str, line: str, options: tuple[str, ...]
) -> None:
    first, second = write(tmp_path / "first.jsonl", 80), write(tmp_path / "second.jsonl", 40)
    score = ("evaluate", "score", first, *options)
    compare = ("evaluate", "compare", first, second, *options)
    gate = (*compare, "--fail-below", "--metric", "stops")
    table, scores, differences, gated = outputs(
        module, before, line, score, (*score, "--json"), (*compare, "--json"), gate
    )
    assert "stops early" in table[1]
    figure = json.loads(scores[1])["figures"]["stops"]
    assert (figure["value"], figure["n"]) == (0.2, 100)
    assert json.loads(differences[1])["differences"]["stops"]["verdict"] == "worse"
    assert gated[0] == 3
    assert "stops is worse by 0.4000" in gated[1]
