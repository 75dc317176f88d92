"""Verdicts of a judge are shown beside their run, and under the paper's columns."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import pytest
from support.synthetic_trajectories import trajectory_run, written

from evaluation.errors import NoReference
from evaluation.judge.verdicts import JudgeRunRecord, ProcedureName, PromptsRecord, QuestionRecord, VerdictRecord
from evaluation.page.html import render_page
from evaluation.page.markdown import render_markdown
from evaluation.reporting.document import Report, report_sections
from evaluation.reporting.inputs import PARTS, BootstrapOptions, read_runs, with_verdicts
from recordings.errors import DataError, DuplicateId

QUICK = BootstrapOptions(100)
SUITE = "stabletoolbench-queries:G1_tool"
IDS = ("G1_tool/7", "G1_tool/8")
LABELS = {
    "toolalpaca": [{"process": "Yes", "response": "Yes"}, {"process": "Yes", "response": "No"}],
    "toolbench-pass": [
        {"answer_status": "Solved", "task_status": "Solvable", "passes": "Passed", "drawn": "Passed"},
        {"answer_status": "Unsolved", "task_status": "Solvable", "passes": "Failed", "drawn": "Failed"},
    ],
}


def run_file(folder: Path, ids: Sequence[str] = IDS, suite: str = SUITE) -> Path:
    run = trajectory_run([True] * len(ids))
    requests = tuple(each.model_copy(update={"recorded": name}) for each, name in zip(run.records, ids, strict=True))
    path = folder / "trajectories.jsonl"
    path.write_text(written(type(run)(run.about.model_copy(update={"suite": suite}), requests)))
    return path


def verdicts_of(path: Path, procedure: ProcedureName, ids: Sequence[str] = IDS, *, readable: bool = True) -> Path:
    """Verdicts on the trajectories, the procedure's in turn, and one that means nothing; or that one alone."""
    prompts = PromptsRecord(name="tooleval", version=1, sha256="0" * 64)
    about = JudgeRunRecord(
        procedure=procedure, prompts=prompts, model="judge-7b", suite=SUITE, trajectories=len(ids), repeat=2,
        run_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )  # fmt: skip
    requests = QuestionRecord(name="evaluate", prompt_sha256="0" * 64, texts=["<b>hm</b>", "because"], answer="Yes")
    hm = requests.model_copy(update={"texts": ["It is <i>fine</i>"], "answer": None})
    records = [
        VerdictRecord(recorded=name, repeat=0, basis="judge", labels=labels, questions=[requests])
        for name, labels in zip(ids, cycle(LABELS[procedure]), strict=False)
        if readable
    ]
    nonsense = VerdictRecord(recorded=ids[0], repeat=1, basis="nonsense", labels={}, questions=[hm])
    target = path.parent / "verdicts.jsonl"
    target.write_text("".join(record.model_dump_json() + "\n" for record in (about, *records, nonsense)))
    return target


def texts(path: Path, *verdicts: Path) -> tuple[str, str]:
    """The Markdown and the page."""
    matches = report_sections(Report(with_verdicts(read_runs([path], QUICK), verdicts, QUICK), [], QUICK))
    return render_markdown("r", matches), render_page("r", matches)


def test_figures_counts_and_the_judges_own_words(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, page = texts(path, verdicts_of(path, "toolalpaca"))
    run = "| A trajectories | toolalpaca, judge-7b, 2 times each |"
    assert f"{run} 2 | 0 | 1 | 0 | 1 |" in text
    assert f"{run} Proc. | 1.000 (0.342 to 1.000), n 2 |" in text
    assert f"{run} Ans. | 0.500 (0.000 to 1.000), n 2 |" in text
    assert f"{run} response | No | 1 |" in text
    assert "| A trajectories | ours, judged by judge-7b, chain, n 2 | 100.00 | 50.00 |" in text
    assert "&lt;b&gt;hm&lt;/b&gt;\nbecause" in page
    assert "Verdict 2 (toolalpaca, judge-7b, 2 times each; nonsense): no label." in page
    assert 'href="#a-verdict-1-response-No"' in page
    assert 'id="a-verdict-1-response-No"' in page


def test_a_judge_that_wrote_only_nonsense_is_counted_and_rendered(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, page = texts(path, verdicts_of(path, "toolalpaca", readable=False))
    assert "| A trajectories | toolalpaca, judge-7b, 2 times each | 0 | 0 | 1 | 0 | 3 |" in text
    assert "Verdicts: figures" not in text
    assert "Verdicts: what was said" not in text
    start = page.index('id="a-verdict-1-basis-nonsense"')
    assert '<a href="#a-verdict-1-basis-nonsense">1</a>' in page[:start]
    assert 'href="#a-trajectory-1"' in page[start : start + 400]
    assert "It is &lt;i&gt;fine&lt;/i&gt;" in page[start:]


def test_a_part_of_toolbench_stands_under_its_column(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    text, page = texts(path, verdicts_of(path, "toolbench-pass"))
    assert f"| A trajectories | ours, judged by judge-7b, chain, n 2 | – | – | 50.00 |{' – |' * 11}\n" in text
    assert 'href="#a-verdict-1-PART-G1_tool"' in page
    assert 'id="a-verdict-1-PART-G1_tool"' in page


def test_each_part_of_the_full_suite_has_its_column_and_all_six_an_average(tmp_path: Path) -> None:
    ids = [*(f"{part}/1" for part in PARTS), "G1_tool/2"]
    path = run_file(tmp_path, ids, "stabletoolbench-queries")
    text, page = texts(path, verdicts_of(path, "toolbench-pass", ids))
    # Passed and failed in turn, so of the second part one of two. Of all questions 57.14 are passed.
    shares = " | – | ".join(["100.00", "50.00", "100.00", "0.00", "100.00", "0.00", "58.33"])
    assert f"| A trajectories | ours, judged by judge-7b, chain, n 7 | {shares} | – |" in text
    for part in PARTS:
        start = page.index(f'id="a-verdict-1-PART-{part}"')
        assert f">{part}/1 (completed)<" in page[start : start + 400]


def test_an_average_takes_all_six_parts(tmp_path: Path) -> None:
    ids = [f"{part}/1" for part in list(PARTS)[:5]]
    path = run_file(tmp_path, ids, "stabletoolbench-queries")
    text, _ = texts(path, verdicts_of(path, "toolbench-pass", ids))
    assert f"chain, n 5 | 100.00 | – | 0.00 | – | 100.00 | – | 0.00 | – | 100.00 |{' – |' * 5}\n" in text


def test_other_questions_stand_in_no_column_of_toolbench(tmp_path: Path) -> None:
    ids = ["G4_tool/1", "G1_tool", "q2"]
    path = run_file(tmp_path, ids, "mine")
    text, _ = texts(path, verdicts_of(path, "toolbench-pass", ids))
    assert "ours, judged by" not in text
    assert "| A trajectories | toolbench-pass, judge-7b, 2 times each | pass rate |" in text


def test_without_verdicts_the_section_says_how(tmp_path: Path) -> None:
    assert "No verdicts were given: \\`alpha-umi evaluate judge\\`" in texts(run_file(tmp_path))[0]


def test_verdicts_on_another_run_or_given_twice_are_refused(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    verdicts = verdicts_of(path, "toolalpaca")
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(verdicts.read_bytes())
    with pytest.raises(DuplicateId, match="are given twice"):
        texts(path, verdicts, copy)
    path.write_text(written(trajectory_run([True, True])))
    with pytest.raises(NoReference, match="on a run of stabletoolbench-queries:G1_tool that is not given"):
        texts(path, verdicts)
    with pytest.raises(DataError):
        texts(path, path)
