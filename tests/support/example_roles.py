"""Scripted roles that solve the example questions: the expected calls, then an answer with the facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.scripted_courses import observed
from support.scripted_roles import Reply, ScriptedRoles, call, decide, problem, say

INSTRUCTIONS = Path(__file__).parents[2] / "examples" / "instructions.jsonl"
Json = dict[str, Any]


@dataclass
class ExampleRoles:
    """The course of each question. `answers` are given in the place of right ones, by id; `broken` are ids whose
    planner fails."""

    answers: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    entries: list[Json] = field(
        default_factory=lambda: [json.loads(line) for line in INSTRUCTIONS.read_text("utf-8").splitlines()]
    )

    def roles(self) -> ScriptedRoles:
        """The scripts."""
        return ScriptedRoles(planner=self._plan, caller=self._call, summarizer=self._say)

    def _plan(self, request: Json) -> Reply:
        entry = self._entry(request)
        if entry["id"] in self.broken:
            return problem("context-exceeded", "the tools do not fit")
        done = observed(request) == len(entry["calls"])
        return decide("It is known.", "conclusion") if done else decide("I look it up.", "caller")

    def _call(self, request: Json) -> Reply:
        wanted = self._entry(request)["calls"][observed(request)]
        return call(wanted["tool"], **wanted["arguments"])

    def _say(self, request: Json) -> Reply:
        entry = self._entry(request)
        return say(self.answers.get(entry["id"]) or f"It is {' and '.join(map(str, entry['facts']))}.")

    def _entry(self, request: Json) -> Json:
        instruction = request["history"][0]["content"]
        return next(entry for entry in self.entries if entry["instruction"] == instruction)
