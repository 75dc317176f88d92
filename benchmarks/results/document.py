"""A page whose sections are made by commands: each lies between two marks and is replaced as a whole."""

from __future__ import annotations

import re
from pathlib import Path


def replace_section(page: Path, name: str, text: str) -> None:
    """Put a section into a page: in the place of the one with its name, else at the end."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    there = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(there):
        page.write_text(pattern.sub(lambda _: section, there), encoding="utf-8")
    else:
        page.write_text(f"{there.rstrip()}\n\n{section}\n", encoding="utf-8")
