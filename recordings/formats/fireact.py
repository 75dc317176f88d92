"""FireAct: questions that GPT-4 answered with a search engine, a JSON list of `{"instruction", "output"}`.

The output repeats `Thought: … Action: search[…] Observation: …` and ends with `Action: finish[answer]`. Text before the
first thought, such as the options of a multiple-choice question, belongs to the question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from alpha_umi.roles.turns import Tool, Turn
from recordings.reading import Entry, OnInvalid, Text, read_list
from recordings.schemas import tool
from recordings.trajectory import Loaded, RecordedTrajectory, content_ids
from recordings.turns import SourceCall, call_turns, conclusion_turns

SEARCH: Tool = tool(
    "search",
    "Searches the web and returns a short text about the query.",
    {"query": {"type": "string", "description": "What to look for"}},
    ["query"],
)
OTHER_STEPS = "steps that are not a thought, an action and an observation"
NOT_FINISHED = "no action `finish`"
_STEP = re.compile(
    r"Thought: (?P<thought>.*?)\nAction: (?P<name>search|finish)\[(?P<argument>.*?)\]\n"
    r"Observation: (?P<observation>.*?)(?:\n(?=Thought: )|\Z)",
    re.DOTALL,
)


class Answered(Entry):
    """A question with its recorded output."""

    instruction: Text
    output: Text


def load(path: Path, on_invalid: OnInvalid) -> Loaded:
    """The questions of a file as trajectories. Raises `DataError`."""
    entries = read_list(path, Answered, on_invalid)
    excluded: Counter[str] = Counter()
    trajectories = []
    for name, entry in zip(content_ids(each.instruction for each in entries), entries, strict=True):
        turns = _turns(entry)
        if isinstance(turns, str):
            excluded[turns] += 1
        else:
            trajectories.append(RecordedTrajectory(name, (SEARCH,), turns))
    return Loaded(tuple(trajectories), dict(excluded))


def _turns(entry: Answered) -> tuple[Turn, ...] | str:
    """The turns, or the reason to exclude the entry."""
    before, thought, steps = entry.output.partition("Thought: ")
    text = (thought + steps).strip()
    matches = list(_STEP.finditer(text))
    if "".join(match.group() for match in matches) != text:
        return OTHER_STEPS
    if not matches or matches[-1]["name"] != "finish":
        return NOT_FINISHED
    question = Turn("user", "\n".join(filter(None, (entry.instruction.strip(), before.strip()))))
    return (question, *(turn for match in matches for turn in _step(match)))


def _step(match: re.Match[str]) -> Iterator[Turn]:
    thought = match["thought"].strip()
    if match["name"] == "finish":
        return conclusion_turns(thought, match["argument"])
    return call_turns(thought, [SourceCall("search", {"query": match["argument"]}, match["observation"])])
