"""docs/api.md names every route, event, status and problem of the orchestrator; its example is the actual output."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from support.orchestrator_world import Client

from alpha_umi.contract.problems import PROBLEMS
from alpha_umi.contract.stream_events import EVENT_NAMES
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.trajectory import Status
from examples import client_tool

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def rows_under(heading: str) -> dict[str, str]:
    """Each row of the last table of a section: its first cell, and the rest."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split(" | ", 1) for line in section.splitlines() if line.startswith("| ")]
    return {first.strip(): rest for first, rest in cells}


async def test_every_route_is_there(client: Client) -> None:
    document = (await client.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        shown = path.replace("{trajectory_id}", "{id}")
        assert shown in PAGE, path
        for method in operations:
            if path.startswith("/v1"):
                assert re.search(rf"`{method.upper()} {re.escape(shown)}[`?]", PAGE), (method, path)


def test_every_problem_is_under_its_status() -> None:
    table = rows_under("## Errors")
    documented = {kind: int(status) for status, kinds in table.items() if status.isdigit()
                  for kind in re.findall(r"`([a-z-]+)`", kinds)}  # fmt: skip
    assert documented == {kind: row.status.value for kind, row in PROBLEMS.items()}


@pytest.mark.parametrize("name", [*EVENT_NAMES, *get_args(Status), *Trajectory.model_fields])
def test_every_name_is_there(name: str) -> None:
    if name not in ("id", "object", "instruction", "usage", "metadata", "created_at"):
        assert f"`{name}`" in PAGE


def test_the_example_is_shown_as_it_is() -> None:
    for function in (client_tool.execute, client_tool.ask):
        shown = "".join(f"    {line}".rstrip(" ") for line in inspect.getsource(function).splitlines(keepends=True))
        assert shown in PAGE
