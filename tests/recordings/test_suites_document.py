"""docs/suites.md is correct: its example runs, and its table has the real sizes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from support.scripted_roles import ScriptedRoles, decide, in_turn, say
from support.serving_on_loopback import Serve
from support.system import Roles, orchestrated

from evaluation.replay.servers import create_calculator_server
from recordings.suites.definition import suite_names
from recordings.suites.suite import listed_suites, load_suite

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


def at_hand(data: Path) -> list[str]:
    return [suite.name for suite in listed_suites(data) if suite.at_hand]


def test_the_table_has_the_real_sizes(data: Path) -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\| ([\d,]+) \| ([\d,]+) \|", DOCUMENT, re.MULTILINE)
    documented = {
        name: (int(trajectories.replace(",", "")), int(steps.replace(",", ""))) for name, trajectories, steps in rows
    }
    suites = {name: load_suite(name, data) for name in at_hand(data)}
    assert documented.keys() == set(suite_names())
    assert {name: documented[name] for name in suites} == {
        name: (len(suite.trajectories), len(suite.cases)) for name, suite in suites.items()
    }


def test_excluded_trajectories_are_documented(data: Path) -> None:
    (documented,) = re.findall(r"In the suites above these are (.*?)\.\n", DOCUMENT, re.DOTALL)
    counts = {name: int(count) for count, name in re.findall(r"(\d+)\s[^`\d]*\(`([a-z0-9-]+)`\)", documented)}
    excluded = {name: sum(load_suite(name, data).excluded.values()) for name in at_hand(data)}
    assert {name: counts.get(name, 0) for name in excluded} == excluded
    assert counts.keys() <= set(suite_names())


async def test_the_example_runs(data: Path, serve: Serve, tmp_path: Path, free_port: int) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    address = serve(
        ScriptedRoles(planner=in_turn(decide("Known.", "conclusion")), summarizer=in_turn(say("So."))).application()
    )
    roles = Roles(address, address, address, {})
    async with orchestrated(roles, serve(create_calculator_server()), tmp_path) as client:
        program = example.replace("8010", str(free_port)).replace("http://127.0.0.1:8000", str(client.base_url))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            env={**os.environ, "PYTHONPATH": str(ROOT), "ALPHA_UMI_DATA": str(data)},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    figures = dict(line.split(" ", 1) for line in output.decode().splitlines())
    count = len(load_suite("rotbench-gpt4:NLP__NLP", data).trajectories)
    assert figures["completed"].startswith("1.0 ")
    assert 0 < int(figures["completed"].split()[1]) <= count
    assert figures["backbone.calls"] == "None 0 None"
