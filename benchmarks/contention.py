"""How long a question takes on a CPU when other work wants the same cores, by the engines' threads and their waiting.

    .venv/bin/python -m benchmarks.contention [--only default --only "all cores"] [--questions 2]

`alpha-umi up` starts the real services with the shipped models, once for each configuration, in a state folder of its
own. The questions differ in a number alone, so that all have two steps and texts of the same length; the prompts of the
first, which is not counted, fill the prefix caches with the tools. `busy` has one process beside the system that never
waits, `two` two questions at once. Nothing else may run on the machine.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Annotated

import httpx
import typer

from alpha_umi.serving.processor import available_cores
from benchmarks.processes import ROOT, free_port
from benchmarks.report import Row, show, write_json

TITLE = "Seconds of a question of two steps, alone and beside other work"
QUESTION = "How many kilometres are {}.{} miles?"
TIMEOUT_S = 1_800.0
CORES = {"ALPHA_UMI_ROLE_THREADS": str(available_cores())}
CONFIGURATIONS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "default, no speculation": {"ALPHA_UMI_ROLE_SPECULATION": "off"},
    "cores - 1": {"ALPHA_UMI_ROLE_THREADS": str(max(1, available_cores() - 1))},
    "all cores": CORES,
    "all cores, short spins": CORES | {"GOMP_SPINCOUNT": "30000"},
    "all cores, passive": CORES | {"OMP_WAIT_POLICY": "PASSIVE"},
}
USUAL = ["default", "default, no speculation", "all cores", "all cores, passive"]


def main(
    only: Annotated[list[str], typer.Option(help="A configuration; may be repeated.")] = USUAL,
    questions: int = 2,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Print the table."""
    rows = [{"engines": name, **measure(CONFIGURATIONS[name], questions)} for name in only]
    show(TITLE, rows)
    write_json(json_file, TITLE, rows)


def measure(environment: Mapping[str, str], questions: int, options: Sequence[str] = ()) -> Row:
    """Seconds until `up` with these options returns, of the first question, and medians of the others."""
    numbers = count(101)
    started = time.monotonic()
    with _system({**os.environ, **environment}, options) as url:
        ready = time.monotonic() - started
        first = _ask(url, next(numbers))
        alone = _median(url, numbers, questions)
        with _busy():
            busy = _median(url, numbers, questions)
        two = _median(url, numbers, questions, at_once=2)
    return {
        "ready": ready, "first": first, "alone": alone,
        "busy": busy, "busy / alone": busy / alone, "two": two, "two / alone": two / alone,
    }  # fmt: skip


def _median(url: str, numbers: Iterator[int], questions: int, *, at_once: int = 1) -> float:
    with ThreadPoolExecutor(at_once) as clients:
        answers = [clients.submit(_ask, url, next(numbers)) for _ in range(questions * at_once)]
        return statistics.median(answer.result() for answer in answers)


def _ask(url: str, number: int) -> float:
    """Seconds of one question. Raises `httpx.HTTPStatusError`."""
    request = {"instruction": QUESTION.format(number // 10, number % 10), "max_steps": 4}
    started = time.monotonic()
    httpx.post(f"{url}/v1/trajectories", json=request, timeout=TIMEOUT_S, trust_env=False).raise_for_status()
    return time.monotonic() - started


@contextlib.contextmanager
def _busy() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _system(environment: Mapping[str, str], options: Sequence[str]) -> Iterator[str]:
    """Address of the orchestrator of a system that runs until the block ends. Raises `CalledProcessError`."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    with tempfile.TemporaryDirectory() as folder:

        def command(name: str, *more: str) -> None:
            subprocess.run(  # noqa: S603 - the command is our own
                [sys.executable, "-m", "cli.main", name, "--state-dir", folder, *more],
                cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip

        roles = [f"--{name}-port={free_port()}" for name in ("planner", "caller", "summarizer", "tools")]
        try:
            command("up", f"--port={port}", *roles, *options)
            yield url
        finally:
            command("down")


if __name__ == "__main__":
    typer.run(main)
