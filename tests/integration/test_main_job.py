"""The main job of a user: one command, real vLLM engines, a real API call, and a clean end."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cli.local.state import StateFolder

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

SERVICES = ("port", "planner-port", "caller-port", "summarizer-port", "tools-port")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def alpha_umi(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "alpha-umi"), *arguments, "--state-dir", str(state)]
    return subprocess.run(command, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=500)


def processes_of(state: Path) -> list[psutil.Process]:
    """Everything whose environment or command line speaks of this state folder, and its children."""
    processes = []
    for process in psutil.process_iter():
        try:
            if str(state) in json.dumps(process.environ()) + " ".join(process.cmdline()):
                processes += [process, *process.children(recursive=True)]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return [process for process in processes if process.pid != os.getpid()]


def test_the_main_job(embedded_model: Path, tmp_path: Path) -> None:
    ports = free_ports(len(SERVICES))
    options = [word for name, port in zip(SERVICES, ports, strict=True) for word in (f"--{name}", str(port))]
    address = f"http://127.0.0.1:{ports[0]}"
    try:
        done = alpha_umi("demo", *options, state=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        trajectory: dict[str, Any] = httpx.get(f"{address}/v1/trajectories?include=steps").json()["data"][0]
        assert trajectory["status"] in ("completed", "exhausted")
        assert trajectory["answer"]
        called = [step for step in trajectory["steps"] if step["action"]]
        assert called[0]["action"]["name"] == "convert_unit"
        assert all(step["observation"]["content"] for step in called)
        assert trajectory["usage"]["completion_tokens"] > 0
        run = StateFolder(tmp_path).read_run()
        assert run is not None
        token = {"Authorization": f"Bearer {run.role_token}"}
        models = httpx.get(f"http://127.0.0.1:{ports[1]}/readyz", headers=token).json()
        assert models["model"].endswith("-planner"), "the role models of the checkout are served"
        shown = alpha_umi("show", trajectory["id"], "--json", state=tmp_path)
        assert json.loads(shown.stdout) == trajectory
        replayed = alpha_umi("replay", trajectory["id"], state=tmp_path)
        assert re.search(r"finished", replayed.stdout), replayed.stdout + replayed.stderr
        again = alpha_umi("up", *options, state=tmp_path)
        assert (again.returncode, address in again.stdout) == (0, True)
    finally:
        ended = alpha_umi("down", state=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not processes_of(tmp_path)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")
