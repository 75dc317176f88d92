"""Questions of ToolBench with the APIs that are on offer for them: a folder with a JSON list for each part.

    [{"query", "query_id", "api_list": [{"category_name", "tool_name", "api_name", "api_description",
      "required_parameters": [{"name", "type", "description", "default"}], "optional_parameters": [...]}]}]

Nothing is recorded of how they are answered, so there is no step to measure: they are asked as whole trajectories, with
a server of ToolBench's tools (`evaluation.replay.virtual`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from alpha_umi.roles.turns import Turn
from evaluation.errors import some
from evaluation.suites.errors import UnknownSuite
from evaluation.suites.reading import Entry, OnBroken, Text, read_list, refuse
from evaluation.suites.recorded import Loaded, RecordedTrajectory
from evaluation.suites.toolbench_api import QueryApi, api_tools

SUFFIX = ".json"


class Query(Entry):
    """A question."""

    query: Text
    query_id: int | str
    api_list: Annotated[list[QueryApi], Field(min_length=1)]


def query_parts(folder: Path) -> list[str]:
    """The parts of a folder."""
    return sorted(path.stem for path in folder.glob(f"*{SUFFIX}"))


def load(folder: Path, parts: Sequence[str], on_broken: OnBroken = refuse) -> Loaded:
    """The questions of some parts, of all where none is named. Raises `EvaluationError`."""
    known = query_parts(folder)
    unknown = [name for name in parts if name not in known]
    if unknown:
        raise UnknownSuite(f"{folder} has no part {some(unknown)}", remedy=f"there are {', '.join(known)}")
    return Loaded(tuple(each for name in parts or known for each in _part(folder, name, on_broken)))


def _part(folder: Path, name: str, on_broken: OnBroken) -> Iterator[RecordedTrajectory]:
    for each in read_list(folder / f"{name}{SUFFIX}", Query, on_broken):
        yield RecordedTrajectory(f"{name}/{each.query_id}", api_tools(each.api_list), (Turn("user", each.query),))
