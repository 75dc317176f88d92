"""The runs behind a section of results: files that `alpha-umi evaluate` writes, or goes on with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.brought_up import alpha_umi, brought_up
from cli.state import ORCHESTRATOR

Mode = Literal["constrained", "free"]
What = Literal["steps", "whole"]
MODES: Final[tuple[Mode, Mode]] = ("constrained", "free")
CONCURRENCY = "2"


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
    alpha_umi(
        "evaluate", "generate", "--in-process", "--model", str(wanted.model),
        "--constrained" if mode == "constrained" else "--unconstrained", "--suite", suite,
        "--limit", str(wanted.steps), "--output", str(wanted.file("steps", suite, mode)),
    )  # fmt: skip


def ask(wanted: Wanted, suite: str, mode: Mode, url: str) -> None:
    """Have whole trajectories driven by the orchestrator at `url`. Raises `ProcessFailed`."""
    alpha_umi(
        "evaluate", "trajectories", "--url", url, "--concurrency", CONCURRENCY, "--suite", suite,
        "--limit", str(wanted.trajectories), "--max-steps", str(wanted.max_steps),
        "--output", str(wanted.file("whole", suite, mode)),
    )  # fmt: skip


@contextlib.contextmanager
def system(wanted: Wanted, mode: Mode) -> Iterator[str]:
    """The whole system, up in a state folder of its own; the address of its orchestrator. Raises `ProcessFailed`."""
    environment = {
        "ALPHA_UMI_CONSTRAINED": str(mode == "constrained").lower(),
        "ALPHA_UMI_ROLE_MODEL": str(wanted.model),
    }
    with brought_up(wanted.folder / f"state-{mode}", "--no-example-tools", environment=environment) as run:
        yield run.url_of(ORCHESTRATOR) or ""
