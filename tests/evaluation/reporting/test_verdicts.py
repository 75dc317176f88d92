"""Verdicts of a judge stand beside their run, and under the paper's columns."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from made_up_trajectories import whole_run, written

from evaluation.errors import DuplicateId, EvaluationError, NoReference
from evaluation.judge.labels import ProcedureName
from evaluation.judge.verdicts import JudgeRunRecord, PromptsRecord, QuestionRecord, VerdictRecord
from evaluation.page.markdown import render_markdown
from evaluation.page.page import render_page
from evaluation.reporting.document import Report, report_sections
from evaluation.reporting.drawing import Drawing
from evaluation.reporting.given import read_runs, with_verdicts

QUICK = Drawing(100)
SUITE = "stabletoolbench-queries:G1_tool"
SAID = {
    "toolalpaca": [{"process": "Yes", "response": "Yes"}, {"process": "Yes", "response": "No"}],
    "toolbench-pass": [
        {"answer_status": "Solved", "task_status": "Solvable", "passes": "Passed", "drawn": "Passed"},
        {"answer_status": "Unsolved", "task_status": "Solvable", "passes": "Failed", "drawn": "Failed"},
    ],
}


def run_file(folder: Path) -> Path:
    run = whole_run([True, False])
    path = folder / "whole.jsonl"
    path.write_text(written(type(run)(run.about.model_copy(update={"suite": SUITE}), run.asked)))
    return path


def verdicts_of(path: Path, procedure: ProcedureName, *, readable: bool = True) -> Path:
    """A verdict on each trajectory, and one that means nothing; or that one alone."""
    prompts = PromptsRecord(name="tooleval", version=1, sha256="0" * 64)
    about = JudgeRunRecord(
        procedure=procedure, prompts=prompts, model="judge-7b", suite=SUITE, trajectories=2, repeat=2,
        run_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    asked = QuestionRecord(name="evaluate", prompt_sha256="0" * 64, texts=["<b>hm</b>", "because"], answer="Yes")
    hm = asked.model_copy(update={"texts": ["It is <i>fine</i>"], "answer": None})
    records = [
        VerdictRecord(recorded=f"q{place}", repeat=0, basis="judge", labels=labels, questions=[asked])
        for place, labels in enumerate(SAID[procedure])
        if readable
    ]
    nonsense = VerdictRecord(recorded="q0", repeat=1, basis="nonsense", labels={}, questions=[hm])
    target = path.parent / "verdicts.jsonl"
    target.write_text("".join(record.model_dump_json() + "\n" for record in (about, *records, nonsense)))
    return target


def texts(path: Path, *verdicts: Path) -> tuple[str, str]:
    """The Markdown and the page."""
    found = report_sections(Report(with_verdicts(read_runs([path], QUICK), verdicts, QUICK), [], QUICK))
    return render_markdown("r", found), render_page("r", found)


def test_figures_counts_and_the_judges_own_words(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, page = texts(path, verdicts_of(path, "toolalpaca"))
    run = "| A whole | toolalpaca, judge-7b, 2 times each |"
    assert f"{run} 2 | 0 | 1 | 0 | 1 |" in text
    assert f"{run} Proc. | 1.000 (0.342 to 1.000), n 2 |" in text
    assert f"{run} Ans. | 0.500 (0.000 to 1.000), n 2 |" in text
    assert f"{run} response | No | 1 |" in text
    assert "| A whole | ours, judged by judge-7b, chain | 100.00 | 50.00 |" in text
    assert "&lt;b&gt;hm&lt;/b&gt;\nbecause" in page
    assert "Verdict 2 (toolalpaca, judge-7b, 2 times each; nonsense): nothing that means anything." in page
    assert 'href="#a-verdict-1-response-No"' in page
    assert 'id="a-verdict-1-response-No"' in page


def test_a_judge_that_wrote_only_nonsense_is_told_and_shown(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, page = texts(path, verdicts_of(path, "toolalpaca", readable=False))
    assert "| A whole | toolalpaca, judge-7b, 2 times each | 0 | 0 | 1 | 0 | 3 |" in text
    assert "Verdicts: figures" not in text
    assert "Verdicts: what was said" not in text
    start = page.index('id="a-verdict-1-basis-nonsense"')
    assert '<a href="#a-verdict-1-basis-nonsense">1</a>' in page[:start]
    assert 'href="#a-trajectory-1"' in page[start : start + 400]
    assert "It is &lt;i&gt;fine&lt;/i&gt;" in page[start:]


def test_a_part_of_toolbench_stands_under_its_column(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, _ = texts(path, verdicts_of(path, "toolbench-pass"))
    assert "| A whole | ours, judged by judge-7b, chain | – | – | 50.00 | – |" in text


def test_without_verdicts_the_section_says_how(tmp_path: Path) -> None:
    assert "No verdicts were given: \\`alpha-umi evaluate judge\\`" in texts(run_file(tmp_path))[0]


def test_verdicts_on_another_run_or_given_twice_are_refused(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    verdicts = verdicts_of(path, "toolalpaca")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(verdicts.read_bytes())
    with pytest.raises(DuplicateId, match="are given twice"):
        texts(path, verdicts, copy)
    path.write_text(written(whole_run([True, True])))
    with pytest.raises(NoReference, match="on a run of stabletoolbench-queries:G1_tool that is not given"):
        texts(path, verdicts)
    with pytest.raises(EvaluationError):
        texts(path, path)
