"""Tools of a trajectory run as the models saw them: each distinct definition is one record.

A trajectory refers to its tools by the ids of these records, because most questions of a suite share them. Two tools of
one name can differ between questions, and then have two records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from alpha_umi.contract.roles import ToolModel, WireModel
from alpha_umi.roles.turns import Tool
from evaluation.files.step_run import Count
from recordings.errors import NotTheFormat, some
from recordings.reading import refuse_duplicates


class ToolRecord(WireModel):
    """A tool as it was sent to the role services, under its registered name."""

    kind: Literal["tool"] = "tool"
    id: Count
    tool: ToolModel

    def as_tool(self) -> Tool:
        """The tool as a type of the roles."""
        return Tool(self.tool.name, self.tool.description, self.tool.parameters)


class ToolTable:
    """The ids of a file's tools. A new tool gets the next id."""

    def __init__(self, existing: Mapping[int, ToolRecord]) -> None:
        self._ids = {_content(record.tool): number for number, record in existing.items()}
        self._next = max(existing, default=0) + 1

    def intern(self, tools: Sequence[ToolModel]) -> tuple[list[int], list[ToolRecord]]:
        """The ids of these tools, and the records of those that are new."""
        new = []
        for tool in tools:
            if _content(tool) not in self._ids:
                self._ids[_content(tool)] = self._next
                new.append(ToolRecord(id=self._next, tool=tool))
                self._next += 1
        return [self._ids[_content(tool)] for tool in tools], new


def require_lines(tools: Sequence[ToolRecord], offered: Mapping[str, Sequence[int]], path: Path) -> None:
    """Raises `DuplicateId` for two tools with the same id, `NotTheFormat` if a trajectory's tool has no line."""
    refuse_duplicates([str(tool.id) for tool in tools], f"{path}: tools")
    known = {tool.id for tool in tools}
    for trajectory, numbers in offered.items():
        if missing := [str(number) for number in numbers if number not in known]:
            raise NotTheFormat(
                f"{path}: trajectory {trajectory!r} was offered tools that have no line: {some(missing)}",
                remedy="remove the line of this trajectory, and run the command that made the file again",
            )


def _content(tool: ToolModel) -> str:
    # In the order of the record, because that is how a prompt renders it.
    return tool.model_dump_json()
