"""The example application that executes a tool itself, as a process against real services with scripted models."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.serving_on_loopback import Serve
from support.stub_tools import StubTools
from support.system import Roles, orchestrated, serve_roles

from alpha_umi.serving.scripted import Rule
from examples.client_tool import execute

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "scripted_answers.json"


@pytest.fixture
def roles(serve: Serve) -> Roles:
    """Each role has the complete script, as with `alpha-umi up`."""

    def rules() -> list[Rule]:
        return [Rule(**rule) for rule in json.loads(SCRIPT.read_text(encoding="utf-8"))]

    return serve_roles(serve, planner=rules(), caller=rules(), summarizer=rules())


async def test_the_example_answers_with_what_is_in_the_clients_folder(
    roles: Roles, serve: Serve, tmp_path: Path
) -> None:
    async with orchestrated(roles, serve(StubTools().app()), tmp_path) as http:
        ran = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "examples.client_tool", "How many lines has LICENSE?"],
            capture_output=True, text=True, cwd=ROOT, timeout=60,
            env=os.environ | {"ALPHA_UMI_URL": str(http.base_url)},
        )  # fmt: skip
        assert (ran.returncode, ran.stdout) == (0, "LICENSE has 201 lines.\n"), ran.stderr
        (result,) = (await http.get("/v1/trajectories?include=steps")).json()["data"]
    assert result["steps"][0]["action"]["arguments"] == {"file": "LICENSE"}
    assert result["steps"][0]["observation"]["content"] == "201 lines"


async def test_the_conversation_of_the_manual(roles: Roles, serve: Serve, tmp_path: Path) -> None:
    tool = {"name": "read_thermometer", "parameters": {"type": "object", "properties": {"room": {"type": "string"}}}}
    async with orchestrated(roles, serve(StubTools().app()), tmp_path) as http:
        body = {"instruction": "How warm is it in the hall?", "tools": [tool]}
        paused = (await http.post("/v1/trajectories", json=body)).json()
        action = paused["steps"][-1]["action"]
        assert (paused["status"], action["arguments"]) == ("requires_action", {"room": "hall"})
        output = {"call_id": action["call_id"], "content": "21.4 °C"}
        path = f"/v1/trajectories/{paused['id']}/tool_outputs"
        ended = (await http.post(path, json={"outputs": [output]})).json()
    assert (ended["status"], ended["answer"]) == ("completed", "It is 21.4 °C in the hall.")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file beside another one, as the current one."""
    (tmp_path / "secret").write_text("a\nb\n")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "notes").write_text("a\nb\nc\n")
    before = Path.cwd()
    os.chdir(inner)
    yield inner
    os.chdir(before)


def test_the_tool_counts_in_its_own_folder_only(folder: Path) -> None:
    assert execute({"file": "notes"}) == {"content": "3 lines"}
    for elsewhere in ("../secret", f"{folder.parent}/secret", "..", ""):
        assert execute({"file": elsewhere})["is_error"] is True
