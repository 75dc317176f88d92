"""The page of results: what its sections say is what the runs' files hold."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.evaluate import _pairs, _run
from benchmarks.results.__main__ import main
from benchmarks.results.document import replace_section
from benchmarks.results.runs import MODES, Wanted
from benchmarks.results.section import introduction, steps_part
from evaluation.files.step_run import read_run, write_run
from evaluation.scoring import score
from evaluation.suites.definition import suite_names

SUITE = "gsm8k"


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """Runs of 100 steps: half right, and without any prediction."""
    wanted = Wanted(tmp_path, tmp_path / "model", steps=100, trajectories=1, max_steps=2)
    pairs = list(_pairs(random.Random(1), 100))
    run = _run(pairs)
    write_run(wanted.file("steps", SUITE, "constrained"), run)
    write_run(wanted.file("steps", SUITE, "free"), replace(run, predictions=()))
    return wanted


def cells(text: str, first: str) -> list[str]:
    row = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_a_section_holds_every_metric_of_both_modes(wanted: Wanted) -> None:
    text = steps_part(wanted, SUITE)
    assert text.startswith("### `gsm8k`: 100 steps of 20 trajectories")
    scores = [score(read_run(wanted.file("steps", SUITE, mode)).pairs()) for mode in MODES]
    for one, other in zip(scores[0].figures, scores[1].figures, strict=True):
        shown = cells(text, one.metric.title)
        values = ["–" if figure.value is None else f"{100 * figure.value:.1f}" for figure in (one, other)]
        assert [shown[0], shown[3]] == values
        assert [shown[2], shown[5]] == [f"{figure.n:,}" for figure in (one, other)]
    # Predictions that are missing are wrong, and that is no matter of chance.
    assert cells(text, "Plan ACC")[-1] == "worse"
    assert cells(text, "free") == ["0", "0", "0", "0", "100"]
    assert sum(map(int, cells(text, "the reference"))) == 100


def test_a_page_is_written_of_the_runs_that_are_there(
    wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    where = ["--folder", str(wanted.folder.parent), "--name", wanted.folder.name, "--page", str(page)]
    monkeypatch.setattr("sys.argv", ["results", "--tables-only", "--model", str(wanted.model), *where])
    main()
    assert [line for line in page.read_text().splitlines() if line.startswith("###")] == [
        "### `gsm8k`: 100 steps of 20 trajectories"
    ]
    told = " ".join(capsys.readouterr().err.split())
    assert f"no runs (steps) of them in {wanted.folder}: {', '.join(set_aside(suite_names()))}" in told


def set_aside(names: list[str]) -> list[str]:
    return [name for name in names if name != SUITE]


def test_what_no_figure_tells_stands_under_the_title(wanted: Wanted) -> None:
    found = {"verdict": "listed", "instructions": 3, "total": 20}
    for mode in MODES:
        run = read_run(wanted.file("steps", SUITE, mode))
        changed = {"models": {"planner": {"id": "p", "trained_on_suite": found}}, "left_out": {"a broken call": 7}}
        write_run(wanted.file("steps", SUITE, mode), replace(run, about=run.about.model_copy(update=changed)))
    told = steps_part(wanted, SUITE).split("\n\n")
    assert told[1] == "Left out of the suite, because it cannot be measured: a broken call (7)."
    assert told[2] == "**Warning: the planner's model was trained on 3 of the suite's 20 instructions.**"


def test_the_command_stands_in_the_section(wanted: Wanted) -> None:
    text = introduction("Title", "python -m benchmarks.results --steps 100", wanted)
    assert text.startswith("## Title\n")
    assert "`python -m benchmarks.results --steps 100`" in text


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    replace_section(page, "one", "## One\n\\1 stays as it is")
    replace_section(page, "two", "## Two")
    replace_section(page, "one", "## First")
    assert page.read_text() == (
        "# Page\n\n<!-- begin one -->\n## First\n<!-- end one -->\n\n<!-- begin two -->\n## Two\n<!-- end two -->\n"
    )
