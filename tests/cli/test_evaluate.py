"""`alpha-umi evaluate`: figures on standard output, errors in a file on standard error."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.measured_steps import GAVE_UP, called, pairs_of, run_of
from typer.testing import Result

from cli.commands import evaluate
from evaluation.files.outputs import Prediction
from evaluation.files.published import write_published_file
from evaluation.files.step_run import write_run
from evaluation.metrics import METRICS
from evaluation.statistics.bootstrap import RESAMPLES, SEED

Invoke = Callable[..., Result]
Write = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Write:
    """Writes the file of a run and returns its path."""

    def write(name: str = "run.jsonl", **predictions: Prediction | None) -> str:
        given = {f"{trajectory}/1": prediction for trajectory, prediction in predictions.items()}
        write_run(tmp_path / name, run_of(pairs_of(given)))
        return str(tmp_path / name)

    return write


def figures(result: Result) -> Any:
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_the_published_figures_come_under_their_names(invoke: Invoke, golden: Path) -> None:
    printed = figures(
        invoke("evaluate", "score", str(golden / "metrics_predictions.json"), "--format", "published", "--json")
    )
    expected = json.loads((golden / "metrics_expected.json").read_text())
    assert printed == pytest.approx(expected, abs=1e-9)


def test_a_score_is_a_table_with_numbers_and_intervals(invoke: Invoke, run: Write) -> None:
    printed = invoke("evaluate", "score", run(a=GAVE_UP, b=None))
    assert printed.exit_code == 0
    assert printed.stdout.startswith("three: 3 steps of 3 trajectories\n")
    assert "without a prediction, counted as wrong: 1 (b/1)" in printed.stdout
    plan = next(line for line in printed.stdout.splitlines() if line.startswith("Plan ACC"))
    assert "  ignored by hallu_rate, argument_validity, invented_tools\n" in printed.stdout
    assert plan.split() == ["Plan", "ACC", "plan_em", "0.3333", "0.0000", "to", "1.0000", "3"]
    action = next(line for line in printed.stdout.splitlines() if line.startswith("Act. EM"))
    assert action.split() == ["Act.", "EM", "action_em", "0.0000", "–", "1"]
    assert any(line.split()[:3] == ["planner", "2", "200"] for line in printed.stdout.splitlines())
    assert max(map(len, printed.stdout.splitlines())) <= 80


def test_a_score_as_json_is_the_full_report(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    report = figures(invoke("evaluate", "score", run(b=None), "--json", "--seed", "4", "--output", str(target)))
    assert report == json.loads(target.read_text())
    assert list(report["figures"]) == [metric.name for metric in METRICS]
    assert report["figures"]["rouge"] == {"title": "R-L", "value": 0, "low": None, "high": None, "n": 1}
    assert (report["steps"], report["missing"], report["seed"]) == (3, ["b/1"], 4)
    assert report["decisions"]["conclusion"]["missing"] == 1
    assert report["run"]["models"]["planner"]["name"] == "planner-of-tests"
    assert report["costs"]["caller"]["completion_tokens"] == 10


def test_predictions_can_be_written_in_the_published_format(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    target = str(tmp_path / "published.json")
    before = figures(invoke("evaluate", "score", run(a=GAVE_UP, b=None), "--json", "--write-published", target))
    scored = invoke("evaluate", "score", target, "--format", "published", "--json")
    assert scored.exit_code == 0
    assert scored.stderr.startswith("without a prediction, counted as wrong: 1 (b/1)\n")
    after = json.loads(scored.stdout)
    assert after == {name: before["figures"][name]["value"] for name in after}
    assert len(after) == 7


def test_two_files_are_compared(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    first, second = run("first.jsonl", a=GAVE_UP), run("second.jsonl", b=None)
    printed = invoke("evaluate", "compare", first, second)
    assert printed.exit_code == 0
    assert "without a prediction in the second, counted as wrong: 1 (b/1)" in printed.stdout
    assert "  ignored by hallu_rate, argument_validity, invented_tools, so inconclusive\n" in printed.stdout
    assert "first: three, constrained; planner planner-of-tests\nsecond: three, constrained; " in printed.stdout
    assert printed.stdout.endswith("inconclusive, as fewer than 20 trajectories count: all\n")
    action = next(line for line in printed.stdout.splitlines() if line.startswith("action_em"))
    assert action.split() == ["action_em", "0.0000", "1.0000", "+1.0000", "–", "inconclusive"]
    assert max(map(len, printed.stdout.splitlines())) <= 80
    target = tmp_path / "report.json"
    report = figures(invoke("evaluate", "compare", first, second, "--json", "--output", str(target)))
    assert report == json.loads(target.read_text())
    assert report["differences"]["plan_em"]["difference"] == 0
    assert report["second_missing"] == ["b/1"]
    assert report["first"] == {
        "suite": "three", "models": {"planner": "planner-of-tests"}, "constrained": True, "strategy": None,
        "trained_on": [],
    }  # fmt: skip
    assert (report["differences"]["plan_em"]["trajectories"], report["differences"]["hallu_rate"]["incomparable"]) == (
        3,
        True,
    )


def test_published_files_are_compared(invoke: Invoke, tmp_path: Path) -> None:
    for name, prediction in (("first", GAVE_UP), ("second", called("weather", '{"city": "Oslo"}'))):
        write_published_file(tmp_path / name, pairs_of({"a/1": prediction}))
    files = (str(tmp_path / "first"), str(tmp_path / "second"))
    report = figures(invoke("evaluate", "compare", *files, "--format", "published", "--json"))
    assert report["differences"]["plan_em"]["difference"] == pytest.approx(1 / 3)
    assert (report["first"], report["second"]) == (None, None)


def test_errors_are_reported(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    complete = run()
    (tmp_path / "cut").write_text(Path(complete).read_text()[:-9])
    (tmp_path / "empty").write_text("")
    (tmp_path / "words").write_text("words")
    (tmp_path / "no-entry").write_text("[]")
    (tmp_path / "orphan").write_text('[{"tools": [], "predictions": "a"}]')
    write_published_file(tmp_path / "published", pairs_of({}))
    published = ("--format", "published")
    for arguments, message in (
        (("score", "nothing-here"), "nothing-here cannot be read: No such file"),
        (("score", str(tmp_path / "cut")), "ends in the middle"),
        (("score", str(tmp_path / "empty")), "is empty"),
        (("score", str(tmp_path / "words")), "line 1 is not JSON"),
        (("score", str(tmp_path / "no-entry"), *published), "no step in"),
        (("score", str(tmp_path / "orphan"), *published), "without a `reference`: entry '1'"),
        (("score", str(tmp_path / "published")), "is it --format published?"),
        (("score", complete, *published), "is not JSON"),
        (("score", complete, "--output", str(tmp_path / "no" / "folder")), "cannot be written: No such file"),
        (("compare", complete, str(tmp_path / "cut")), "ends in the middle"),
        (("compare", str(tmp_path / "no-entry"), str(tmp_path / "no-entry"), *published), "no step in"),
    ):
        refused = invoke("evaluate", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments
        assert message in " ".join(refused.stderr.split()), arguments
        assert "Traceback" not in refused.stderr


def test_a_model_that_was_trained_on_the_suite_is_warned_of(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    clean = run("clean.jsonl")
    retained = run_of(pairs_of({}))
    for verdict, warned in (("listed", True), ("clean", False), ("unknown", False)):
        models = {"planner": {"id": "p", "trained_on_suite": {"verdict": verdict, "instructions": 2, "total": 3}}}
        about = retained.about.model_copy(update={"models": models})
        file = str(tmp_path / "trained.jsonl")
        write_run(Path(file), type(retained)(about, retained.cases, retained.predictions))
        warning = "the planner's model was trained on 2 of the suite's 3 instructions"
        assert (f"warning: {warning}" in invoke("evaluate", "score", file).stdout) is warned
        compared = invoke("evaluate", "compare", clean, file)
        assert (f"warning: in the second, {warning}" in compared.stdout) is warned
        assert "in the first" not in compared.stdout
        as_json = invoke("evaluate", "compare", file, clean, "--json")
        assert (f"warning: in the first, {warning}" in as_json.stderr) is warned
        assert json.loads(as_json.stdout)["steps"] == 3


def test_no_file_that_is_read_is_written_over(invoke: Invoke, run: Write, tmp_path: Path) -> None:
    first, second = run("first.jsonl"), run("second.jsonl", a=GAVE_UP)
    before = Path(first).read_bytes()
    (tmp_path / "link").symlink_to("first.jsonl")
    (tmp_path / "hard").hardlink_to(first)
    new = str(tmp_path / "new.json")
    for arguments, message in (
        (("score", first, "--output", first), "--output: "),
        (("score", first, "--format", "trajectories", "--output", first), "is an input of the command"),
        (("score", first, "--output", str(tmp_path / "link")), "is an input of the command → name another file"),
        (("score", first, "--write-published", str(tmp_path / "hard")), "--write-published: "),
        (("score", first, "--output", new, "--write-published", new), "is also the file of --output"),
        (("compare", second, first, "--output", first), "is an input of the command"),
        (("compare", first, second, "--output", f"{tmp_path}/../{tmp_path.name}/first.jsonl"), "input of the command"),
    ):
        refused = invoke("evaluate", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments
        assert message in " ".join(refused.stderr.split()), arguments
    assert Path(first).read_bytes() == before
    assert not Path(new).exists()


def test_hostile_ids_stay_text(invoke: Invoke, tmp_path: Path) -> None:
    run = run_of(pairs_of({"a/1": None}))
    cases = (run.cases[0].model_copy(update={"id": "\x1b[31mred"}), *run.cases[1:])
    write_run(tmp_path / "run.jsonl", type(run)(run.about, cases, run.predictions))
    printed = invoke("evaluate", "score", str(tmp_path / "run.jsonl"))
    assert printed.exit_code == 0
    assert "\x1b" not in printed.stdout


def test_the_defaults_are_the_bootstraps() -> None:
    for command in (evaluate.score, evaluate.compare):
        defaults = {name: one.default for name, one in inspect.signature(command).parameters.items()}
        assert (defaults["resamples"], defaults["seed"]) == (RESAMPLES, SEED)


def test_without_its_packages_it_says_what_to_install(
    invoke: Invoke, run: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    file = run()
    for name in [name for name in sys.modules if name.startswith(("evaluation.", "cli.evaluation_tables"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", None)
    refused = invoke("evaluate", "score", file)
    assert refused.exit_code == 2
    assert "numpy" in refused.stderr
    assert "alpha-umi[evaluation]" in refused.stderr
