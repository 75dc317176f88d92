"""Differences by groups of steps: the steps of a group, and the correction of verdicts over all groups."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from support.measured_steps import GAVE_UP, answered, call_of, case_of, right, run_of

from evaluation.errors import CasesDiffer
from evaluation.files.published import Pair, pair
from evaluation.files.step_run import write_run
from evaluation.page.markdown import render_markdown
from evaluation.reporting.document import Report, report_sections
from evaluation.reporting.inputs import BootstrapOptions, read_runs
from evaluation.reporting.step_groups import by_group, groups_table, holm
from recordings.cases import StepCase

DEFAULT = BootstrapOptions()


def cases(trajectories: int = 40) -> list[StepCase]:
    """Two steps a trajectory: a call, then an answer."""
    call = call_of("weather", {"city": "Oslo"})
    return [
        case_of(
            f"{number}/{place}", decision="caller" if place == 1 else "conclusion", call=call if place == 1 else None
        )
        for number in range(trajectories)
        for place in (1, 2)
    ]


def steps(wrong: Iterable[str], trajectories: int = 40) -> list[Pair]:
    """All predictions are right, except for these cases."""
    excluded = set(wrong)
    return [pair(case, GAVE_UP if case.id in excluded else right(case)) for case in cases(trajectories)]


def test_a_group_has_its_steps_alone() -> None:
    first = steps(f"{number}/2" for number in range(20))
    table = groups_table("caption", first, steps([]), DEFAULT)
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.cells}
    assert rows["all steps"][0] == "80 of 40"
    assert rows["all steps"][1].startswith("+0.250 (")
    assert rows["all steps"][1].endswith(" better")
    assert rows["reference: conclusion"][1].startswith("+0.500 (")
    assert rows["reference: caller"][1].endswith(" inconclusive")
    assert rows["1 to 2 tools"][0] == "80 of 40"
    assert "6 to 10 tools" not in rows


def test_verdicts_are_corrected_over_all_groups() -> None:
    """A difference that is significant alone is not significant among all groups."""
    groups = by_group(steps(f"{number}/2" for number in range(6)), steps([]), DEFAULT)
    conclusion = next(group for group in groups if group.title == "reference: conclusion")
    item = conclusion.differences[0]
    assert (item.metric.name, item.verdict) == ("decision_accuracy", "better")
    assert next(figure for figure in holm(groups).figures if figure.item is item).confidence > 0.99


def test_rouge_has_a_figure_only_where_an_answer_is_the_reference() -> None:
    first = steps([])
    second = [pair(each.case, answered("Cold.") if each.case.reference.answer else right(each.case)) for each in first]
    groups = {group.title: group for group in by_group(first, second, DEFAULT)}
    rouge = {title: group.differences[3].difference for title, group in groups.items()}
    assert rouge["reference: caller"] is None
    assert (rouge["reference: conclusion"] or 0) < 0


def test_runs_of_other_steps_are_refused() -> None:
    with pytest.raises(CasesDiffer, match="only the first file has the case"):
        groups_table("caption", steps([]), steps([], trajectories=30), DEFAULT)


def test_the_report_has_a_table_for_each_further_run(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("one", "two", "three")]
    for place, path in enumerate(paths):
        write_run(path, run_of(steps([f"{number}/1" for number in range(place)], trajectories=5)))
    quick = BootstrapOptions(100)
    text = render_markdown("r", report_sections(Report(read_runs(paths, quick), [], quick, 0)))
    assert "B two less A one, by groups of steps" in text
    assert "C three less A one, by groups of steps" in text
