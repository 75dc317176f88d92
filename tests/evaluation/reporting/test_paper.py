"""The paper's figures are copied correctly: its averages are the means of the copied values."""

from __future__ import annotations

import pytest

from evaluation.reporting.paper import STATIC_METRICS, paper

# As published; see the note beside the table.
ODD = {("DFSDT", "Claude-2", 0): 22.6, ("DFSDT", "ToolLLaMA", 0): 66.7, ("DFSDT", "α-UMi (7B)", 1): 65.7}


def test_every_row_is_as_wide_as_its_table() -> None:
    for table in (*paper().table_1, paper().table_2):
        assert {len(row.figures) for row in table.rows} == {len(table.columns)}
        for figure in (figure for row in table.rows for figure in row.figures if figure is not None):
            assert round(figure, table.places) == figure
            assert 0 <= figure <= 100
    assert len(STATIC_METRICS) == len(paper().table_1[0].columns)


@pytest.mark.parametrize("side", [0, 1], ids=["pass", "win"])
def test_the_averages_are_those_of_the_six_parts(side: int) -> None:
    for row in paper().table_2.rows:
        *parts, average = row.figures[side::2]
        known = [part for part in parts if part is not None]
        if average is None:
            assert known == []
            continue
        expected = ODD.get((row.group, row.model, side), average)
        assert sum(known) / 6 == pytest.approx(expected, abs=0.1)
