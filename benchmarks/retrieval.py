"""`python -m benchmarks.retrieval FOLDER`: how often retrieval finds the tools that an instruction needs.

FOLDER has ToolBench's questions as StableToolBench publishes them (`recordings.formats.toolbench_queries`), each with
its offered APIs and with those that it needs. The APIs of all questions of a file are one set of tools, and the
instruction alone is the query. A question counts as `any` if one of its APIs is among the first ten, and as `all` if
all of them are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from benchmarks.report import Row, show, write_json
from evaluation.statistics.bootstrap import wilson_interval
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.retrieval import ToolIndex
from recordings.formats.toolbench_queries import Query, api_tool, query_parts
from recordings.reading import read_list

RETRIEVED: Final = 10
TITLE: Final = f"The needed tools among the first {RETRIEVED}"


class LabelledQuery(Query):
    """A question with the APIs that it needs, each as names of tool and API."""

    relevant: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(alias="relevant APIs")]

    @property
    def needed(self) -> set[str]:
        """The names of the tools that it needs."""
        names = {(api.tool_name, api.api_name): api_tool(api).name for api in self.api_list}
        return {names[tool, api] for tool, api in self.relevant if (tool, api) in names}


def measure(name: str, queries: Sequence[LabelledQuery]) -> Row:
    """The row of one file."""
    apis = {tool.name: tool for query in queries for tool in map(api_tool, query.api_list)}
    tools = {
        each.name: Tool(each.name, each.description, dict(each.parameters), name, EffectClass.READ)
        for each in apis.values()
    }
    index = ToolIndex(tools)
    labelled = [query for query in queries if query.needed]
    retrieved = [query.needed & set(index.ranked(query.query)[:RETRIEVED]) for query in labelled]
    complete = sum(len(part) == len(query.needed) for part, query in zip(retrieved, labelled, strict=True))
    return {
        "part": name,
        "tools": len(tools),
        "instructions": len(labelled),
        "any": sum(map(bool, retrieved)),
        "all": complete,
    }


def with_shares(row: Row) -> Row:
    """The row with percentages, and the 95 % interval of `any`."""
    count = row["instructions"]
    interval = wilson_interval(row["any"], count)
    shares = {name: f"{100 * row[name] / count:.1f} %" for name in ("any", "all")}
    return {**row, **shares, "any, 95 % interval": f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"}


def main() -> None:
    """Print the table."""
    options = _options()
    rows = [
        measure(part, read_list(options.folder / f"{part}.json", LabelledQuery)) for part in query_parts(options.folder)
    ]
    total = {key: sum(row[key] for row in rows) for key in ("instructions", "any", "all")}
    shown = [with_shares(row) for row in (*rows, {"part": "all parts", "tools": None, **total}) if row["instructions"]]
    show(TITLE, shown)
    write_json(options.json, TITLE, shown)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of JSON files of questions")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
