"""Output of a benchmark: a table, and the same rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as one table; missing values are empty cells."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    Console(width=160 if not Console().is_terminal else None).print(table)


def write_json(path: Path | None, title: str, rows: Sequence[Row]) -> None:
    """Write the rows to `path`, unless it is None."""
    if path is not None:
        path.write_text(json.dumps({"title": title, "rows": list(rows)}, indent=2) + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case float() if abs(value) < 100:
            return f"{value:.3g}"
        case float():
            return f"{value:,.0f}"
        case _:
            return str(value)
