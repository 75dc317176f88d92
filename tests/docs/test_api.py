"""docs/api.md names every route, event, status and problem of the services, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import httpx
import pytest
from support.fuzzed_applications import APPLICATIONS, application_running

from alpha_umi.contract.problems import PROBLEMS
from alpha_umi.contract.roles import MAX_TURNS
from alpha_umi.contract.stream_events import EVENT_NAMES
from alpha_umi.trajectory import Status

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)
BRACES = re.compile(r"\{([a-z]+(?:,[a-z]+)+)\}")


def anchor(heading: str) -> str:
    """The anchor of a heading in links."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def written_paths() -> set[str]:
    """The paths of the page; `{a,b}` is expanded to two paths, and other names in braces are variables."""
    paths: set[str] = set()
    for path in re.findall(r"(/(?:v1/[\w/{},-]+|healthz|readyz|metrics))", PAGE):
        forms = BRACES.search(path)
        for form in forms[1].split(",") if forms else [""]:
            paths.add(re.sub(r"\{\w+\}", "{}", BRACES.sub(form, path)))
    return paths


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_route_is_there(name: str, tmp_path: Path) -> None:
    with application_running(name, tmp_path) as address:
        paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert {re.sub(r"\{\w+\}", "{}", path) for path in paths} <= written_paths()


def test_every_problem_has_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", PAGE, re.MULTILINE)
    described = {kind: int(status) for status, kinds in rows for kind in re.findall(r"`([a-z-]+)`", kinds)}
    assert described == {kind: row.status for kind, row in PROBLEMS.items()}


def test_every_event_and_status_is_there() -> None:
    words = set(re.findall(r"`([a-z_.]+)`", PAGE))
    assert {*EVENT_NAMES, *get_args(Status)} <= words


def test_bounds_are_those_of_the_wire() -> None:
    assert f"the limit of the role services, {MAX_TURNS:,} turns" in PAGE


def test_links_within_the_page_lead_to_a_heading() -> None:
    assert set(re.findall(r"\]\(#([a-z-]+)\)", PAGE)) <= {anchor(heading) for heading in HEADINGS}


def test_each_kind_of_service_has_its_part() -> None:
    assert [heading.split()[0] for heading in HEADINGS if heading.endswith(")")] == ["Orchestrator", "Role"]
