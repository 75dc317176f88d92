"""The exact prompts of a step, made again from what a run keeps of them: the template's name, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from alpha_umi.roles.template import UnknownTemplate, load_template, render
from alpha_umi.roles.turns import RoleName, Turn
from evaluation.outputs import planner_turn
from evaluation.pairs import Pair
from evaluation.records import OutputRecord


def exact_prompt(pair: Pair, output: OutputRecord, models: Mapping[RoleName, Mapping[str, Any]]) -> str | None:
    """What the role was shown, to the letter; None where its history was shortened, or the template is not this one."""
    history = pair.case.history
    if output.role in ("caller", "summarizer") and pair.prediction is not None:
        history = (*history, Turn("planner", planner_turn(pair.prediction)))
    thought = history[-1].content if output.role == "caller" and history else ""
    model = models.get(output.role, {})
    try:
        template = load_template(str(model.get("template")))
    except UnknownTemplate:
        return None
    label = model.get("planner_label", "assistant")
    tools = pair.case.tools
    text = render(output.role, template, history=history, tools=tools, thought=thought, planner_label=label).text
    return text if hashlib.sha256(text.encode(errors="replace")).hexdigest() == output.prompt_sha256 else None
