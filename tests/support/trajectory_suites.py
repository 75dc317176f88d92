"""Suites for complete trajectories: scripted roles that solve sums, and recorded questions about a shop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.scripted_roles import Reply, ScriptedRoles, call, decide, say

SHOP = """\
name: shop
title: Questions in a shop
loader: trajectories
data: shop
licence: none
source: these tests
"""
PRICE = {
    "name": "price_of",
    "description": "Price of an item.",
    "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
}


def computing() -> ScriptedRoles:
    """Roles that compute `What is N plus N?` with the calculator, and then answer correctly, except for N = 3."""
    return ScriptedRoles(planner=_plan, caller=_compute, summarizer=_answer)


def programming(*programs: str, answer: str) -> ScriptedRoles:
    """Roles that run these programs with the tool `python`, one after another, and then answer."""

    def plan(request: dict[str, Any]) -> Reply:
        return decide("I run it.", "caller") if _seen(request) < len(programs) else decide("Known.", "conclusion")

    def run(request: dict[str, Any]) -> Reply:
        return call("python", code=programs[_seen(request)])

    return ScriptedRoles(planner=plan, caller=run, summarizer=lambda _: say(answer))


def pricing(*items: str) -> ScriptedRoles:
    """Roles that ask for the price of these items, one after another, and then answer."""

    def plan(request: dict[str, Any]) -> Reply:
        return decide("I ask.", "caller") if _seen(request) < len(items) else decide("It is known.", "conclusion")

    def ask(request: dict[str, Any]) -> Reply:
        return call("price_of", item=items[_seen(request)])

    return ScriptedRoles(planner=plan, caller=ask, summarizer=lambda _: say("40."))


def searching(wrong: str, right: str) -> ScriptedRoles:
    """Roles that ask for a wrong item first and give up; if that is in the history, they ask for the right one."""

    def plan(request: dict[str, Any]) -> Reply:
        newest = request["history"][-1]
        if newest["role"] == "user":
            return decide("I ask otherwise." if wrong in newest["content"] else "I ask.", "caller")
        return decide("Nobody knows it.", "give up") if "HTTP" in newest["content"] else decide("Known.", "conclusion")

    def ask(request: dict[str, Any]) -> Reply:
        return call("price_of", item=right if "otherwise" in request["history"][-1]["content"] else wrong)

    return ScriptedRoles(planner=plan, caller=ask, summarizer=lambda _: say("40."))


def shop_file(folder: Path, *items: str) -> Path:
    """The file of a suite with a recorded question for the price of each item, and its data."""
    (folder / "shop").mkdir()
    (folder / "shop" / "tools.json").write_text(json.dumps([PRICE]))
    lines = (json.dumps(_requested_item(item)) + "\n" for item in items)
    (folder / "shop" / "trajectories.jsonl").write_text("".join(lines))
    (folder / "shop.yaml").write_text(SHOP)
    return folder / "shop.yaml"


def _plan(request: dict[str, Any]) -> Reply:
    known = request["history"][-1]["role"] == "observation"
    return decide("It is known.", "conclusion") if known else decide("I compute it.", "caller")


def _compute(request: dict[str, Any]) -> Reply:
    return call("calculator", expression=f"{_number(request)}+{_number(request)}")


def _answer(request: dict[str, Any]) -> Reply:
    result = json.loads(request["history"][-2]["content"])["result"]
    return say(f"It is {int(result) + (_number(request) == 3)}.")


def _seen(request: dict[str, Any]) -> int:
    return sum(turn["role"] == "observation" for turn in request["history"])


def _number(request: dict[str, Any]) -> int:
    return int(request["history"][0]["content"].split()[2])


def _requested_item(item: str) -> dict[str, Any]:
    usage, latency = (
        {"prompt_tokens": 1, "completion_tokens": 1},
        {"planner": 1, "caller": 1, "tool": 1, "summarizer": 1},
    )
    more = {"latency_ms": latency, "usage": usage, "truncated": False}
    step = {
        "index": 0,
        "thought": "I ask.",
        "next": "caller",
        "action": {"call_id": "c", "name": "price_of", "arguments": {"item": item}},
        "observation": {"content": f"{item}: 40", "is_error": False, "truncated": False},
    }
    known = {"index": 1, "thought": "It is known.", "next": "conclusion", "action": None, "observation": None}
    return {
        "id": f"judged-{item}", "status": "completed", "instruction": f"What is the price of {item}?",
        "tools": ["price_of"], "strategy": "chain", "steps": [step | more, known | more], "messages": [],
        "answer": "40.", "error": None, "usage": usage, "metadata": {}, "created_at": "2026-11-21T00:00:00Z",
        "finished_at": None,
    }  # fmt: skip
