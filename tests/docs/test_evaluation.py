"""docs/evaluation.md: its CI job is valid, and its commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from cli.errors import EXIT_WORSE
from cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
JOBS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The commands of this project that the jobs give."""
    steps = [step for text in JOBS for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
    given = [shlex.split(step["run"]) for step in steps if "run" in step]
    return [words[1:] for words in given if words[0] == "alpha-umi"]


def test_there_are_jobs() -> None:
    assert [words[:2] for words in commands()] == [["evaluate", "generate"], ["evaluate", "compare"]]


@pytest.mark.parametrize("text", JOBS)
def test_a_job_is_a_workflow(text: str, tmp_path: Path) -> None:
    file = tmp_path / "workflow.yaml"
    file.write_text(text, encoding="utf-8")
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file))
    checked = subprocess.run(check, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("words", commands(), ids=lambda words: words[1])
def test_its_commands_can_be_given(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("alpha-umi", list(words))
    for _ in range(2):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        context = command.make_context(name, rest, parent=context)
    assert not context.args


def test_the_exit_code_is_named() -> None:
    assert f"| {EXIT_WORSE} | the second is worse" in PAGE
