"""The turn that shows a searching planner the calls already made at this node; its published text is versioned data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_FILE = resources.files("alpha_umi.roles") / "templates" / "search" / "dfsdt.toml"
# The published inference truncates every observation to this length, which bounds this turn.
OBSERVATION_CHARACTERS: Final = 1_024


@dataclass(frozen=True)
class Candidate:
    """A call made earlier at the same node, its arguments as JSON text, and its output.

    If no call could be made, name and arguments are empty, and `output` is the reason.
    """

    name: str
    arguments: str
    output: str


def show_candidates(candidates: Sequence[Candidate], observation: str) -> str:
    """The user turn with the candidates; `observation` is the newest one of the branch, or empty."""
    template = _template()
    text = json.dumps([_document(candidate) for candidate in candidates], indent=2) + "\n"
    if observation:
        former = template["former_observation"]
        text += former.replace("{observation}", observation[:OBSERVATION_CHARACTERS])
    return template["previous_candidates"].replace("{previous_candidate}", text)


def _document(candidate: Candidate) -> dict[str, object]:
    """The published keys; the value is always 0.0 in that search."""
    return {
        "name": candidate.name,
        "arguments": candidate.arguments,
        "function_output": candidate.output[:OBSERVATION_CHARACTERS],
        "mento-carlo-action-value": 0.0,
    }


@cache
def _template() -> dict[str, str]:
    read = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return {name: text for name, text in read.items() if isinstance(text, str)}
