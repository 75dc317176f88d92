"""docs/operations.md describes every metric of the services, and names only metrics and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from support.exposition import Exposition, scrape
from support.orchestrator_world import surroundings
from support.role_apps import application, client_of, scripted
from support.scripted_roles import call, decide, in_turn, problem, say

from alpha_umi.serving.scripted import Rule
from alpha_umi.serving.settings import RoleSettings
from orchestrator.settings import PREFIX, OrchestratorSettings
from services.planner import create_router

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
PLAN = {"tools": [{"name": "t"}], "history": [{"role": "user", "content": "question"}]}


class Described(NamedTuple):
    """A row of the page."""

    type: str
    labels: frozenset[str]


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    return re.split(r"\n##+ ", PAGE.split(f"\n{heading}\n")[1])[0]


def described(heading: str) -> dict[str, Described]:
    """The metrics of a section's table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section(heading).splitlines()
            if line.startswith("| `")]  # fmt: skip
    return {row[0].strip("`"): Described(row[1], frozenset(re.findall(r"`(\w+)`", row[2]))) for row in rows}


def exposed(exposition: Exposition) -> dict[str, str]:
    """The types of all metrics by the names that queries use."""
    return {f"{it.name}_total" if it.type == "counter" else it.name: it.type for it in exposition.families}


def labels_of(exposition: Exposition) -> dict[str, frozenset[str]]:
    """The labels of each metric that has a series."""
    return {
        f"{it.name}_total" if it.type == "counter" else it.name: frozenset(it.samples[0].labels) - {"le"}
        for it in exposition.families
        if it.samples
    }


async def orchestrator(folder: Path) -> Exposition:
    """An orchestrator that has carried out a question, with a retry and a repair on the way."""
    async with surroundings(folder) as world, world.orchestrator() as client:
        broken = problem("engine-not-ready", "not yet")
        world.roles.planner = in_turn(broken, decide("look it up", "caller"), decide("I know it", "conclusion"))
        world.roles.caller = in_turn(call("look_up", item="lamp"))
        world.roles.summarizer = in_turn(say("It costs 40."))
        await client.run()
        return await scrape(client.http)


async def role_service() -> Exposition:
    """A planner that has decided."""
    engine = scripted(Rule([" caller."], when="Next:"), Rule(["I wonder."]))
    async with client_of(application("planner", create_router, engine)) as client:
        (await client.post("/v1/plan", json=PLAN)).raise_for_status()
        return await scrape(client)


async def of_service(service: str, folder: Path) -> tuple[Exposition, dict[str, Described]]:
    exposition = await (orchestrator(folder) if service == "### Orchestrator" else role_service())
    return exposition, described("### Every service") | described(service)


@pytest.mark.parametrize("service", ["### Orchestrator", "### Role services"])
async def test_the_tables_hold_what_a_service_exposes_and_nothing_else(service: str, tmp_path: Path) -> None:
    exposition, rows = await of_service(service, tmp_path)
    assert {name: row.type for name, row in rows.items()} == exposed(exposition)
    labels = labels_of(exposition)
    assert len(labels) > 15
    assert {name: rows[name].labels for name in labels} == labels


def expressions() -> list[str]:
    """The queries, and the expressions of the alerts."""
    blocks = [block.replace("\n    ", "\n").strip() for block in re.findall(r"((?:\n    .*)+)", section(QUERIES))]
    queries, rules = blocks
    alerts = [rule["expr"] for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]]
    return [*re.split(r"\n(?=#)", queries), *alerts]


QUERIES = "### Queries and alerts"


@pytest.mark.parametrize("expression", expressions())
def test_queries_ask_for_what_exists(expression: str) -> None:
    rows = described("### Every service") | described("### Orchestrator") | described("### Role services")
    series = {name: row.labels for name, row in rows.items()}
    for name, row in rows.items():
        if row.type == "histogram":
            series |= {f"{name}_bucket": row.labels | {"le"}, f"{name}_sum": row.labels, f"{name}_count": row.labels}
    used = re.findall(r"\b((?:alpha_umi|process)_\w+)(?:\{(\w+))?", re.sub(r"#.*", "", expression))
    assert used
    for name, label in used:
        assert name in series
        assert not label or label in series[name] | {"job", "instance"}
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert set(re.split(r",\s*", group)) <= frozenset.union(*(series[name] for name, _ in used)) | {"instance"}


def test_the_scrape_configuration_can_be_read() -> None:
    (block,) = re.findall(r"((?:\n    .*)+)", section("## Metrics"))
    jobs: list[dict[str, Any]] = yaml.safe_load(block.replace("\n    ", "\n"))["scrape_configs"]
    assert all(job["authorization"]["credentials_file"] for job in jobs)


def test_every_setting_and_metric_in_the_text_exists() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in OrchestratorSettings.model_fields}
    known |= {f"ALPHA_UMI_ROLE_{name.upper()}" for name in RoleSettings.model_fields}
    named = set(re.findall(r"\bALPHA_UMI_[A-Z_]*[A-Z]\b", PAGE))
    assert named
    assert named <= known
    metrics = described("### Every service") | described("### Orchestrator") | described("### Role services")
    elsewhere = set(re.findall(r"`(alpha_umi_(?!db)\w+)`", PAGE))
    assert elsewhere <= metrics.keys()
