"""`alpha-umi evaluate compare --fail-below`: the exit codes for a pipeline, and the messages in its log."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.measured_steps import GAVE_UP, case_of, right, run_of
from support.synthetic_trajectories import trajectory_run, written
from typer.testing import Result

from alpha_umi.trajectory import Limits
from evaluation.files.published import pair
from evaluation.files.step_run import Run, write_run

Invoke = Callable[..., Result]
GOOD = [number < 80 for number in range(100)]
FALLEN = [number < 40 for number in range(100)]


def run(good: Sequence[bool | None], **about: Any) -> Run:
    """Calls of as many trajectories: right, given up, or missing (None)."""
    cases = [case_of(f"{number}/1") for number in range(len(good))]
    wrote = {True: right, False: lambda _: GAVE_UP, None: lambda _: None}
    made = run_of([pair(case, wrote[is_good](case)) for case, is_good in zip(cases, good, strict=True)])
    return Run(made.about.model_copy(update=about), made.cases, made.predictions)


@pytest.fixture
def steps(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, good: Sequence[bool | None], **about: Any) -> str:
        write_run(tmp_path / name, run(good, **about))
        return str(tmp_path / name)

    return write


@pytest.fixture
def trajectories(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, good: Sequence[bool | None], **about: Any) -> str:
        (tmp_path / name).write_text(written(trajectory_run(good, **about)), encoding="utf-8")
        return str(tmp_path / name)

    return write


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_worse_release_ends_with_3_and_says_in_what_and_by_how_much(
    invoke: Invoke, steps: Callable[..., str]
) -> None:
    files = steps("before", GOOD), steps("after", FALLEN)
    failed = invoke("evaluate", "compare", *files, "--fail-below")
    assert (failed.exit_code, failed.stderr) == (3, "")
    assert "gate failed: " in failed.stdout
    assert "call_match is worse by 0.4000: 0.8000 to 0.4000, interval of the difference -0." in failed.stdout
    assert "…" not in failed.stdout
    # Without the option it is a comparison, the other way round it passes.
    assert invoke("evaluate", "compare", *files).exit_code == 0
    passed = invoke("evaluate", "compare", *files[::-1], "--fail-below")
    assert (passed.exit_code, "gate passed: none of 11 figures" in passed.stdout) == (0, True)


def test_only_the_named_figures_stop_a_release(invoke: Invoke, steps: Callable[..., str]) -> None:
    files = steps("before", GOOD), steps("after", FALLEN)
    assert invoke("evaluate", "compare", *files, "--fail-below", "--metric", "invented_tools").exit_code == 0
    named = invoke(
        "evaluate", "compare", *files, "--fail-below", "--metric", "rouge", "--metric", "call_match", "--json"
    )
    report = json.loads(named.stdout)
    assert named.exit_code == 3
    assert (report["gate"]["worse"], list(report["gate"]["figures"])) == (["call_match"], ["rouge", "call_match"])
    assert report["gate"]["figures"]["call_match"]["high"] < 0
    assert "call_match is worse by 0.4000" in " ".join(named.stderr.split())


def test_an_underpowered_sample_passes_with_its_minimum_detectable_effect(
    invoke: Invoke, steps: Callable[..., str]
) -> None:
    files = steps("before", GOOD), steps("after", [False, *GOOD[1:]])
    gate = ("--fail-below", "--metric", "call_match")
    passed = invoke("evaluate", "compare", *files, *gate, "--mde-target", "1")
    assert passed.exit_code == 0
    assert "too few trajectories to show a fall of 1 points in any figure" in passed.stdout
    row = next(line for line in lines(passed.stdout) if line[:2] == ["call_match", "inconclusive"])
    assert 0.01 < float(row[-1]) < 0.05
    assert "too few" not in invoke("evaluate", "compare", *files, *gate, "--mde-target", "10").stdout
    few = invoke("evaluate", "compare", steps("few", GOOD[:10]), steps("fewer", [False] * 10), *gate)
    assert few.exit_code == 0
    assert "fewer than 20 trajectories count" in few.stdout
    assert "too few trajectories to show a fall of 5 points" in few.stdout


def test_trajectories_go_through_the_gate(invoke: Invoke, trajectories: Callable[..., str]) -> None:
    files = trajectories("before", GOOD), trajectories("after", FALLEN)
    form = ("--format", "trajectories")
    failed = invoke("evaluate", "compare", *files, *form, "--fail-below")
    assert failed.exit_code == 3
    assert failed.stdout.startswith("100 trajectories\n")
    assert "success is worse by 0.4000" in failed.stdout
    gated = json.loads(invoke("evaluate", "compare", *files, *form, "--fail-below", "--json").stdout)["gate"]
    # What they cost stops a release only where it is named.
    assert list(gated["figures"]) == ["completed", "success", "right", "gave_up", "repeated_calls", "tool_errors"]
    assert invoke("evaluate", "compare", *files, *form, "--fail-below", "--metric", "prompt_tokens").exit_code == 0


def test_what_says_nothing_is_refused(
    invoke: Invoke, steps: Callable[..., str], trajectories: Callable[..., str]
) -> None:
    before, trajectories_before = steps("before", GOOD), trajectories("trajectories-before", GOOD, constrained=True)
    form = ("--format", "trajectories")
    for second, more, message in (
        (steps("missing", [None, *GOOD[1:]]), (), "the second file lacks 1 prediction: '0/1'"),
        (steps("free", GOOD, constrained=False), (), "`constrained` is True and False"),
        (steps("suite", GOOD[:30], suite="four"), (), "`suite` is 'three' and 'four'"),
        (steps("once", GOOD, attempts=1), (), "`attempts` is 2 and 1"),
        (steps("others", GOOD[:50]), (), "only the first file has the case '50/1'"),
        (steps("same", GOOD), ("--metric", "accuracy"), "no figure is called 'accuracy'"),
    ):
        refused = invoke("evaluate", "compare", before, second, "--fail-below", *more)
        assert (refused.exit_code, refused.stdout) == (2, ""), message
        assert message in " ".join(refused.stderr.split())
    for second, message in (
        (trajectories("incomplete", [None, *GOOD[1:]]), "the second file lacks 1 trajectory: 'q0'"),
        (trajectories("single", GOOD, strategy="single"), "`strategy` is 'chain' and 'single'"),
        (trajectories("steps", GOOD, max_steps=3), "`max_steps` is None and 3"),
        (trajectories("sample", GOOD[:50]), "differ in `trajectories`"),
        (trajectories("unconstrained", GOOD, constrained=False), "`constrained` is True and False"),
        (
            trajectories("other-server", GOOD, tool_server={"strip": "filter", "max_characters": 9}),
            "`tool_server` is None and",
        ),
        (before, "is a file of predictions for steps"),
    ):
        refused = invoke("evaluate", "compare", trajectories_before, second, *form, "--fail-below")
        assert (refused.exit_code, refused.stdout) == (2, ""), message
        assert message in " ".join(refused.stderr.split())


def test_questions_that_neither_file_came_to_are_counted(invoke: Invoke, trajectories: Callable[..., str]) -> None:
    rest = [None] * 19
    files = (trajectories("first", [True, True, *rest]), trajectories("second", [True, None, *rest]))
    refused = invoke("evaluate", "compare", *files, "--format", "trajectories", "--fail-below")
    assert refused.exit_code == 2
    assert "the first file lacks 19 trajectories: 19 that neither file has" in " ".join(refused.stderr.split())
    refused = invoke("evaluate", "compare", *files[::-1], "--format", "trajectories", "--fail-below")
    assert "lacks 20 trajectories: 'q1' and 19 that neither file has" in " ".join(refused.stderr.split())


def limited(good: Sequence[bool | None], **limits: int) -> str:
    """A file of trajectories that had these limits."""
    return written(trajectory_run(good, strategy="dfsdt", limits=Limits(**{"max_steps": 9, **limits})))


@pytest.mark.parametrize("name", ["max_depth", "max_width", "max_steps", "max_repeats"])
def test_different_limits_of_the_orchestrator_are_refused(invoke: Invoke, tmp_path: Path, name: str) -> None:
    texts = {"before": {name: 4}, "same": {name: 4}, "other": {name: 6}}
    for file, limits in texts.items():
        (tmp_path / file).write_text(limited(GOOD, **limits))

    def against(file: str, *options: str) -> Result:
        files = (str(tmp_path / "before"), str(tmp_path / file))
        return invoke("evaluate", "compare", *files, "--format", "trajectories", *options)

    refused = against("other", "--fail-below")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"`{name}` is 4 in the first file, and 6 in the second" in " ".join(refused.stderr.split())
    assert "→" in refused.stderr
    assert against("same", "--fail-below").exit_code == 0
    assert against("other").exit_code == 0


def test_limits_of_a_search_do_not_matter_to_a_chain(invoke: Invoke, tmp_path: Path) -> None:
    for file, depth in (("one", 4), ("other", 6)):
        (tmp_path / file).write_text(written(trajectory_run(GOOD, limits=Limits(max_depth=depth))))
    files = (str(tmp_path / "one"), str(tmp_path / "other"))
    assert invoke("evaluate", "compare", *files, "--format", "trajectories", "--fail-below").exit_code == 0


def test_a_prediction_that_a_role_refused_is_no_missing_one(invoke: Invoke, tmp_path: Path) -> None:
    """Asking again would change nothing; one that a service failed on can still be had."""
    made = run(GOOD)
    for status, code in ((422, 0), (500, 2)):
        error = {"role": "planner", "problem": "invalid-request", "status": status, "detail": "too long"}
        first = made.predictions[0].model_dump() | {"error": error, "outputs": []}
        retained = Run(made.about, made.cases, (type(made.predictions[0]).model_validate(first), *made.predictions[1:]))
        write_run(tmp_path / "refused", retained)
        write_run(tmp_path / "complete", made)
        gate = ("--fail-below", "--metric", "call_match")
        ended = invoke("evaluate", "compare", str(tmp_path / "complete"), str(tmp_path / "refused"), *gate)
        assert ended.exit_code == code


@pytest.mark.parametrize(("kind", "reads"), [("run", 1), ("trajectory-run", 2)])
@pytest.mark.parametrize("version", [0, 3])
def test_a_file_of_another_version_is_named(
    invoke: Invoke,
    steps: Callable[..., str],
    trajectories: Callable[..., str],
    tmp_path: Path,
    kind: str,
    reads: int,
    version: int,
) -> None:
    file = Path(steps("one", GOOD) if kind == "run" else trajectories("one", GOOD))
    other = tmp_path / "other"
    other.write_text(file.read_text().replace(f'"version":{reads}', f'"version":{version}', 1), encoding="utf-8")
    form = ("--format", "trajectories") if kind == "trajectory-run" else ()
    refused = invoke("evaluate", "compare", str(file), str(other), *form, "--fail-below")
    assert (refused.exit_code, refused.stdout) == (2, "")
    message = " ".join(refused.stderr.split())
    assert f"line 1: the file is of version {version}, and this program reads version {reads}" in message
    assert "make it again" in message


@pytest.mark.parametrize(
    "option",
    [("--metric", "call_match"), ("--correction", "none"), ("--mde-target", "3")],
    ids=lambda option: option[0],
)
def test_what_belongs_to_the_gate_is_refused_without_it(
    invoke: Invoke, steps: Callable[..., str], option: tuple[str, str]
) -> None:
    file = steps("one", GOOD)
    refused = invoke("evaluate", "compare", file, file, *option)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{option[0]} applies only with --fail-below" in refused.stderr
