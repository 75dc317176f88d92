"""The catalogue as a list: what there is to measure on, and whether its data is at hand. No data is read."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from evaluation.suites import bfcl, rotbench, toolbench_queries
from evaluation.suites.definition import SuiteFile, digests_path, read_definition, read_digests, suite_names, suite_path


class ListedSuite(BaseModel):
    """A suite of the project. `data` is where its data is looked for; of `instructions` the digests are recorded."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    licence: str
    source: str
    instructions: int
    data: Path
    at_hand: bool


def listed_suites(data: Path) -> list[ListedSuite]:
    """Every suite of the project, with a folder of data. Raises `EvaluationError` for a broken catalogue."""
    return [_listed(read_definition(suite_path(name)), data) for name in suite_names()]


def _listed(definition: SuiteFile, data: Path) -> ListedSuite:
    at = data / definition.data
    return ListedSuite(
        name=definition.name,
        title=definition.title,
        licence=definition.licence,
        source=definition.source,
        instructions=len(read_digests(digests_path(suite_path(definition.name))) or ()),
        data=at,
        at_hand=at.exists() and _has_parts(definition, at),
    )


def _has_parts(definition: SuiteFile, at: Path) -> bool:
    match definition.loader:
        case "rotbench":
            return set(definition.parts) <= set(rotbench.tool_sets(at))
        case "bfcl":
            return all(file.is_file() for part in definition.parts for file in bfcl.files(at, part))
        case "toolbench-queries":
            return set(definition.parts) <= set(toolbench_queries.query_parts(at))
    return True
