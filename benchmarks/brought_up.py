"""The whole system as `alpha-umi up` starts it, in a state folder of its own and on free ports."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.processes import ROOT, ProcessFailed, free_port
from cli.state import RunRecord, StateFolder

_PORTS = ("--port", "--planner-port", "--caller-port", "--summarizer-port", "--tools-port")
# Three engines on two processors are slow, and a role that was cut off says nothing about a model.
_PATIENCE = {"ALPHA_UMI_ROLE_TIMEOUT_S": "600", "ALPHA_UMI_TRAJECTORY_TIMEOUT_S": "3600"}


@contextlib.contextmanager
def brought_up(state: Path, *options: str, environment: Mapping[str, str]) -> Iterator[RunRecord]:
    """What `alpha-umi up OPTIONS` started, until the block ends. Raises `ProcessFailed`.

    What a killed run left in the state folder is ended first: its models may be others.
    """
    own = ("--state-dir", str(state))
    alpha_umi("down", *own)
    ports = [text for name in _PORTS for text in (name, str(free_port()))]
    alpha_umi("up", *options, *ports, *own, environment={**_PATIENCE, **environment})
    try:
        run = StateFolder(state.absolute()).read_run()
        if run is None:
            raise ProcessFailed(f"alpha-umi up has left no run file in {state}")
        yield run
    finally:
        alpha_umi("down", *own)


def alpha_umi(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """`alpha-umi ARGUMENTS`. Raises `ProcessFailed`."""
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
