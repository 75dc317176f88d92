"""Prompts and targets agree byte for byte with the paper's preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.roles.backbone import parse_step
from alpha_umi.roles.caller import parse_call
from alpha_umi.roles.planner import parse_plan
from alpha_umi.roles.summarizer import parse_answer
from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Tool, Turn, TurnRole

ROLES: dict[str, TurnRole] = {
    "user": "user",
    "assistant": "planner",
    "caller": "caller",
    "observation": "observation",
    "conclusion": "conclusion",
}


def published_tool(tool: dict[str, Any]) -> Tool:
    """A tool of the published form (`Name`, `function`, `input`) as a JSON Schema tool."""
    properties = {
        name: dict(zip(("type", "description"), text.split(", ", 1), strict=False))
        for name, text in tool["input"].items()
    }
    return Tool(tool["Name"], tool["function"], {"type": "object", "properties": properties})


def lines(golden: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (golden / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]


def test_prompts_are_the_published_ones(golden: Path) -> None:
    assert len(lines(golden)) == 24
    for line in lines(golden):
        history = [Turn(ROLES[turn["from"]], turn["value"]) for turn in line["history"]]
        prompt = render(
            line["role"],
            load_template("toolbench"),
            history=history,
            tools=[published_tool(tool) for tool in line["tools"]],
        )
        assert prompt.text == line["prompt"]
        assert all(prompt.text.startswith("</s>", marker) for marker in prompt.markers)


@pytest.mark.parametrize("role", ["planner", "caller", "backbone", "summarizer"])
def test_targets_parse_and_render_back(golden: Path, role: str) -> None:
    targets = [line["target"] for line in lines(golden) if line["role"] == role]
    assert len(targets) == 6
    for target in targets:
        if role == "planner":
            assert parse_plan(target).text == target
        elif role == "caller":
            assert parse_call(target).text == target
        elif role == "backbone":
            assert parse_step(target).text == target
        else:
            assert parse_answer(target) == target.strip()
