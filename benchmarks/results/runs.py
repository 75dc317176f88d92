"""The runs behind a section of results: files that `alpha-umi evaluate` writes, or goes on with."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.processes import ROOT, ProcessFailed, free_port

Mode = Literal["constrained", "free"]
What = Literal["steps", "whole"]
MODES: Final[tuple[Mode, Mode]] = ("constrained", "free")
# Three engines on two processors are slow, and a role that was cut off says nothing about a model.
CONCURRENCY, ROLE_TIMEOUT_S = "2", "600"
_PORTS = ("--port", "--planner-port", "--caller-port", "--summarizer-port")


@dataclass(frozen=True)
class Wanted:
    """What is measured: one model in all roles, by its folder; sizes are per suite.

    `steps` are teacher-forced; `trajectories` are whole, of at most `max_steps` steps.
    """

    folder: Path
    model: Path
    steps: int
    trajectories: int
    max_steps: int

    def file(self, what: What, suite: str, mode: Mode) -> Path:
        """The file of a run."""
        return self.folder / f"{what}-{suite}-{mode}.jsonl"


def generate(wanted: Wanted, suite: str, mode: Mode) -> None:
    """Have the steps of a suite predicted. Raises `ProcessFailed`."""
    _command(
        "evaluate", "generate", "--in-process", "--model", str(wanted.model), f"--{mode}", "--suite", suite,
        "--limit", str(wanted.steps), "--output", str(wanted.file("steps", suite, mode)),
    )  # fmt: skip


def ask(wanted: Wanted, suite: str, mode: Mode, url: str) -> None:
    """Have whole trajectories driven by the orchestrator at `url`. Raises `ProcessFailed`."""
    _command(
        "evaluate", "trajectories", "--url", url, "--concurrency", CONCURRENCY, "--suite", suite,
        "--limit", str(wanted.trajectories), "--max-steps", str(wanted.max_steps),
        "--output", str(wanted.file("whole", suite, mode)),
    )  # fmt: skip


@contextlib.contextmanager
def system(wanted: Wanted, mode: Mode) -> Iterator[str]:
    """The whole system, up in a state folder of its own; the address of its orchestrator. Raises `ProcessFailed`."""
    ports = [free_port() for _ in _PORTS]
    state = ["--state-dir", str(wanted.folder / f"state-{mode}")]
    environment = {
        "ALPHA_UMI_CONSTRAINED": str(mode == "constrained").lower(),
        "ALPHA_UMI_ROLE_MODEL": str(wanted.model),
        "ALPHA_UMI_ROLE_TIMEOUT_S": ROLE_TIMEOUT_S,
    }
    options = [text for name, port in zip(_PORTS, ports, strict=True) for text in (name, str(port))]
    _command("up", "--no-example-tools", *options, *state, environment=environment)
    try:
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        _command("down", *state)


def _command(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """`alpha-umi ARGUMENTS`."""
    done = subprocess.run(  # noqa: S603 - the command is our own
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessFailed(f"alpha-umi {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2_000:]}")
