"""`alpha-umi evaluate report`: from files to a page and Markdown, and its refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.measured_steps import called, pairs_of, run_of
from support.synthetic_trainings import training
from support.synthetic_trajectories import record_of, step, trajectory, trajectory_run, written
from typer.testing import Result

from evaluation.files.step_run import write_run
from evaluation.files.trajectory_run import TrajectoryRun
from evaluation.reporting.format import _COMMANDS, SuiteCommand
from recordings.suites.definition import read_definition, suite_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

Invoke = Callable[..., Result]
EVIL = "<script>alert('one')</script><img src=x onerror=\"alert('two')\">\u202e" + "x" * 5_000


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """A run over steps, and one over trajectories whose tools answer with HTML."""
    write_run(tmp_path / "steps.jsonl", run_of(pairs_of({"a/1": called("clock", "{}")})))
    run = trajectory_run([True, False])
    evil = trajectory(steps=[step(0, observation=EVIL), step(1, "conclusion")], answer=EVIL, instruction=EVIL)
    records = (record_of(evil, recorded="q0", expected="3"), run.records[1])
    (tmp_path / "trajectories.jsonl").write_text(written(TrajectoryRun(run.about, records)))
    return [str(tmp_path / "steps.jsonl"), str(tmp_path / "trajectories.jsonl")]


def test_a_page_and_markdown_are_written(invoke: Invoke, given: list[str], tmp_path: Path) -> None:
    page, text = tmp_path / "report.html", tmp_path / "report.md"
    folder = training(tmp_path / "a-training")
    options = ("--training", str(folder), "--title", "Ours <b>", "--resamples", "100", "--examples", "1")
    done = invoke("evaluate", "report", *given, "--output", str(page), "--markdown", str(text), *options)
    assert (done.exit_code, done.stdout) == (0, "")
    # A long path makes the terminal break the line anywhere.
    assert "".join(done.stderr.split()).endswith("report.md:2runs")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "<h1>Ours &lt;b&gt;</h1>" in page.read_text()
    assert text.read_text().startswith("# Ours \\<b\\>\n")
    assert "| a-training | alpha-umi | 11 | 1.10 | 9 | 1,000 |" in text.read_text()


def test_without_a_file_the_markdown_is_printed(invoke: Invoke, given: list[str]) -> None:
    done = invoke("evaluate", "report", *given, "--resamples", "100")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("# Runs of role models\n")


def test_one_run_is_called_one(invoke: Invoke, given: list[str], tmp_path: Path) -> None:
    text = tmp_path / "report.md"
    done = invoke("evaluate", "report", given[0], "--markdown", str(text), "--resamples", "100")
    assert "".join(done.stderr.split()).endswith("report.md:1run")


def test_errors_are_reported_and_nothing_is_written(invoke: Invoke, given: list[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    (tmp_path / "words").write_text("words")
    (tmp_path / "older").write_text(Path(given[0]).read_text().replace('"version":1', '"version":0', 1))
    (tmp_path / "begun").write_text(Path(given[1]).read_text().splitlines()[0] + "\n")
    trained = training(tmp_path / "trained")
    costs, losses = trained / "costs.json", trained / "global" / "losses.jsonl"
    retained = [Path(given[0]), costs, losses]
    before = [path.read_bytes() for path in retained]
    for arguments, message in (
        ((*given, str(tmp_path / "words")), "words, line 1 is not JSON"),
        ((*given, str(tmp_path / "older")), "version 0, and this program reads version 1"),
        ((*given, str(tmp_path / "begun")), "begun has no trajectory yet"),
        ((*given, given[0]), "steps.jsonl is given twice"),
        ((*given, str(tmp_path / "nothing")), "nothing cannot be read: No such file"),
        ((*given, "--training", str(tmp_path)), "is not the folder of a training"),
        ((*given, "--markdown", given[0]), "--markdown: "),
        ((*given, "--markdown", str(page)), "is also the file of --output"),
        ((*given, "--training", str(trained), "--markdown", str(costs)), "costs.json is an input of the command"),
        ((*given, "--training", str(trained), "--markdown", str(losses)), "losses.jsonl is an input of the command"),
        ((*given, "--markdown", str(tmp_path / "no" / "report.md")), "report.md cannot be written: No such file"),
    ):
        done = invoke("evaluate", "report", *arguments, "--output", str(page), "--resamples", "100")
        assert done.exit_code == 2, message
        assert message in done.stderr.replace("\n", " ").replace("  ", " ")
        assert "→" in done.stderr
        assert not page.exists()
    assert [path.read_bytes() for path in retained] == before
    assert invoke("evaluate", "report").exit_code == 2


@pytest.mark.parametrize(("suite", "own"), _COMMANDS.items())
def test_the_commands_of_suites_are_there(invoke: Invoke, suite: str, own: SuiteCommand) -> None:
    assert read_definition(suite_path(suite)).name == suite
    assert invoke("evaluate", own.name, "--help").exit_code == 0


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_two_clicks_lead_from_a_number_to_a_step(
    invoke: Invoke, given: list[str], tmp_path: Path, browser_page: Page, width: int
) -> None:
    page = tmp_path / "report.html"
    assert invoke("evaluate", "report", *given, "--output", str(page), "--resamples", "100").exit_code == 0
    browser_page.set_viewport_size({"width": width, "height": 900})
    browser_page.goto(page.as_uri())
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= width
    for number, wrote in (
        ("a[href='#a-class-wrong-tool']", "Action: clock"),
        ("a[href='#b-figure-tool_errors']", "<script>"),
    ):
        browser_page.locator(number).first.click()
        anchor = browser_page.evaluate("location.hash")
        browser_page.locator(f"{anchor} li a").first.click()
        opened = browser_page.locator(browser_page.evaluate("location.hash"))
        text = opened.get_by_text(wrote).first
        assert text.is_visible()
        assert opened.locator("pre").first.is_visible()
    assert browser_page.locator("main script, main img").count() == 0


@pytest.mark.browser
def test_every_link_leads_somewhere(invoke: Invoke, given: list[str], tmp_path: Path, browser_page: Page) -> None:
    page = tmp_path / "report.html"
    invoke("evaluate", "report", *given, "--output", str(page), "--resamples", "100")
    browser_page.goto(page.as_uri())
    links = browser_page.locator("a").evaluate_all("found => found.map(each => each.getAttribute('href'))")
    names = set(browser_page.locator("[id]").evaluate_all("found => found.map(each => '#' + each.id)"))
    assert len(links) > 100
    assert set(links) <= names
