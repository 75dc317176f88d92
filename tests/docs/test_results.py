"""docs/results.md: it is short, and its commands use scripts and variables that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"((?:^    .*\n)+)", PAGE, re.MULTILINE)


def test_the_page_is_short() -> None:
    assert len(PAGE.splitlines()) <= 250


def test_scripts_have_the_variables_that_the_page_sets() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "runs").glob("*.sh")}
    for block in BLOCKS:
        named = re.findall(r"runs/(\w+\.sh)", block)
        assert set(named) <= scripts.keys()
        for variable in re.findall(r"\b([A-Z_]+)=", block):
            assert any(f"${{{variable}" in scripts[name] for name in named), (variable, named)
    assert {name for block in BLOCKS for name in re.findall(r"runs/(\w+\.sh)", block)} == scripts.keys()


def test_tables_are_well_formed() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
