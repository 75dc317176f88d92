"""The services' `/render` makes the published prompts from JSON Schema tools, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.role_apps import application, client_of, scripted

from alpha_umi.roles.turns import Role
from services.backbone import create_router as backbone_router
from services.caller import create_router as caller_router
from services.planner import create_router as planner_router
from services.summarizer import create_router as summarizer_router

Json = dict[str, Any]

SERVICES = {
    "planner": (planner_router, "/v1/plan/render"),
    "caller": (caller_router, "/v1/call/render"),
    "summarizer": (summarizer_router, "/v1/summarize/render"),
    "backbone": (backbone_router, "/v1/step/render"),
}


def as_request(line: Json) -> Json:
    roles = {"assistant": "planner"}
    history = [{"role": roles.get(turn["from"], turn["from"]), "content": turn["value"]} for turn in line["history"]]
    if line["role"] == "summarizer":
        return {"history": history}
    return {"history": history, "tools": [as_tool(tool) for tool in line["tools"]]}


def as_tool(tool: Json) -> Json:
    """The published "type, description" as JSON Schema; without the comma there was no description."""
    properties = {
        name: dict(zip(("type", "description"), text.split(", ", 1), strict=False))
        for name, text in tool["input"].items()
    }
    parameters = {"type": "object", "properties": properties}
    return {"name": tool["Name"], "description": tool["function"], "parameters": parameters}


@pytest.mark.parametrize("role", ["planner", "caller", "summarizer", "backbone"])
async def test_rendered_over_http(golden: Path, role: Role) -> None:
    lines = [json.loads(line) for line in (golden / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert any(line["role"] == role for line in lines)
    router, path = SERVICES[role]
    async with client_of(application(role, router, scripted(context=100_000))) as client:
        for line in (line for line in lines if line["role"] == role):
            response = await client.post(path, json={**as_request(line), "template": "toolbench"})
            assert response.status_code == 200, response.text
            assert response.json()["prompt"] == line["prompt"]
            assert not response.json()["truncated"]
