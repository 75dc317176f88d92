"""`alpha-umi export` and `alpha-umi evaluate drift`: from an orchestrator to the alarming role."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from support.measured_steps import pairs_of, run_of
from support.serving_on_loopback import Serve
from support.synthetic_trajectories import BEGAN, step, trajectory, trajectory_run, written
from typer.testing import Result

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.web.problems import install_problem_handlers
from evaluation.files.step_run import write_run

Invoke = Callable[..., Result]
DAY = timedelta(days=1)


def day(number: int, count: int = 40, *, gives_up: int = 0) -> list[Trajectory]:
    return [
        trajectory(
            f"{number}-{each}",
            status="gave_up" if each < gives_up else "completed",
            steps=[step(0), step(1, "conclusion")],
            after=number * DAY + timedelta(minutes=each),
        )
        for each in range(count)
    ]


def orchestrator(matches: Sequence[Trajectory], *, breaks_after: int | None = None) -> FastAPI:
    """Answers with pages, newest first, and breaks down after some of them."""
    application, requests = FastAPI(), []
    install_problem_handlers(application)

    @application.get("/v1/trajectories")
    async def listed(limit: int, include: str, status: str | None = None, after: str | None = None) -> JSONResponse:
        assert include == "steps"
        requests.append(after)
        if breaks_after is not None and len(requests) > breaks_after:
            raise ServiceError("storage-unavailable", "the log cannot be read")
        chosen = [each for each in reversed(matches) if status in (None, each.status)]
        start = 0 if after is None else [each.id for each in chosen].index(after) + 1
        data: list[Any] = [each.model_dump(mode="json") for each in chosen[start : start + limit]]
        return JSONResponse({"object": "list", "data": data, "has_more": start + limit < len(chosen)})

    return application


def exported(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_pages_are_exported(invoke: Invoke, serve: Serve, tmp_path: Path) -> None:
    matches = day(0, 250, gives_up=30)
    url, target = serve(orchestrator(matches)), tmp_path / "served.jsonl"
    written = invoke("export", "--url", url, "--output", str(target))
    assert (written.exit_code, written.stdout, written.stderr) == (0, "", "250 trajectories\n")
    assert [line["id"] for line in exported(target)] == [each.id for each in reversed(matches)]
    printed = invoke("export", "--url", url, "--status", "gave_up")
    assert len(printed.stdout.splitlines()) == 30
    assert Trajectory.model_validate_json(printed.stdout.splitlines()[0]) == matches[29]


def test_a_time_is_exported(invoke: Invoke, serve: Serve) -> None:
    url = serve(orchestrator([*day(0), *day(1), *day(2)]))
    between = ("--since", "2026-03-03", "--until", "2026-03-03T08:10Z")
    names = [json.loads(line)["id"] for line in invoke("export", "--url", url, *between).stdout.splitlines()]
    assert names == [f"1-{each}" for each in reversed(range(10))]


def test_a_length_of_time_is_counted_back_from_now(invoke: Invoke, serve: Serve) -> None:
    now = datetime.now(UTC) - BEGAN
    url = serve(orchestrator([trajectory(f"{ago} h", after=now - timedelta(hours=ago)) for ago in (72, 49, 47, 1)]))
    matches = invoke("export", "--url", url, "--since", "2d")
    assert [json.loads(line)["id"] for line in matches.stdout.splitlines()] == ["1 h", "47 h"]


def test_an_export_that_breaks_leaves_the_file_as_it_was(invoke: Invoke, serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "served.jsonl"
    target.write_text("before\n")
    broken = invoke("export", "--url", serve(orchestrator(day(0, 150), breaks_after=1)), "--output", str(target))
    assert broken.exit_code == 1
    assert "the log cannot be read" in broken.stderr
    assert (target.read_text(), list(tmp_path.glob(".*"))) == ("before\n", [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--status", "done"), "--status: 'done' is not a status"),
        (("--since", "yesterday"), "--since: 'yesterday' is not a time"),
        (("--since", "2026-03-03", "--until", "2026-03-02"), "--since is not before --until"),
        (("--url", "http://127.0.0.1:1"), "the orchestrator at http://127.0.0.1:1 is unavailable"),
        (("--output", "/nowhere/served.jsonl"), "--output: /nowhere/served.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_exported(invoke: Invoke, serve: Serve, arguments: tuple[str, ...], message: str) -> None:
    url = () if "--url" in arguments else ("--url", serve(orchestrator(day(0, 1))))
    refused = invoke("export", *url, *arguments)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in " ".join(refused.stderr.split())


def test_a_role_that_goes_wrong_is_named(invoke: Invoke, serve: Serve, tmp_path: Path) -> None:
    served, page = tmp_path / "served.jsonl", tmp_path / "drift.html"
    url = serve(orchestrator([*day(0), *day(1), *day(2, gives_up=25)]))
    assert invoke("export", "--url", url, "--output", str(served)).exit_code == 0
    printed = invoke("evaluate", "drift", str(served), "--output", str(page))
    assert printed.exit_code == 0, printed.stderr
    assert "going wrong in the newest full window, 2026-03-04: planner\n" in printed.stdout
    assert "…" not in printed.stdout
    row = next(
        line.split() for line in printed.stdout.splitlines() if line.startswith("2026-03-04") and "planner" in line
    )
    assert row[1:7] == ["planner", "gave_up", "0.0", "%", "62.5", "%"]
    assert page.read_text().lstrip().startswith("<!DOCTYPE html>")
    report = json.loads(invoke("evaluate", "drift", str(served), "--json").stdout)
    assert (report["alarming_roles"], len(report["windows"]), report["window_s"]) == (["planner"], 3, 86_400)
    assert invoke("evaluate", "drift", str(served), "--fail-on-alarm").exit_code == 3
    for all_of_it in (("--window", "1w"), ("--reference-windows", "50")):
        refused = invoke("evaluate", "drift", str(served), "--fail-on-alarm", *all_of_it)
        assert refused.exit_code == 2
        assert "none is left to compare with it" in " ".join(refused.stderr.split())


def test_a_reference_is_another_export(invoke: Invoke, tmp_path: Path) -> None:
    for name, matches in (("before", day(0)), ("now", day(9, gives_up=25)), ("few", day(1, 19))):
        (tmp_path / name).write_text("".join(each.model_dump_json() + "\n" for each in matches))
    now, before = str(tmp_path / "now"), str(tmp_path / "before")
    alone = invoke("evaluate", "drift", now, "--reference", str(tmp_path / "few"))
    assert "no window has a verdict" in alone.stdout
    held = invoke("evaluate", "drift", now, "--reference", before)
    assert "going wrong in the newest full window, 2026-03-11: planner" in held.stdout


@pytest.mark.parametrize("count", [3, 40])
def test_a_day_that_runs_leaves_the_alarm_of_the_day_before(invoke: Invoke, tmp_path: Path, count: int) -> None:
    served, not_over = tmp_path / "served.jsonl", (datetime.now(UTC) - BEGAN).days + 2
    matches = [*day(0), *day(1), *day(2, gives_up=16), *day(not_over, count)]
    served.write_text("".join(each.model_dump_json() + "\n" for each in matches))
    printed = invoke("evaluate", "drift", str(served), "--fail-on-alarm")
    assert printed.exit_code == 3
    assert "going wrong in the newest full window, 2026-03-04: planner\n" in printed.stdout
    assert ("too few trajectories for a verdict: 1 newer window\n" in printed.stdout) == (count == 3)
    assert "2026-03-04" in next(line for line in printed.stdout.splitlines() if "95 %" in line)


def test_what_cannot_be_read_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    complete = trajectory().model_dump_json()
    for name, text in (("good", f"{complete}\n"), ("bad", f"{complete}\nwords\n"), ("empty", "")):
        (tmp_path / name).write_text(text)
    write_run(tmp_path / "steps", run_of(pairs_of({})))
    (tmp_path / "trajectories").write_text(written(trajectory_run([True])))
    good, bad = str(tmp_path / "good"), str(tmp_path / "bad")
    for arguments, message in (
        ((bad,), f"{bad}, line 2 is not JSON"),
        ((str(tmp_path / "empty"),), "no trajectory has ended"),
        ((good, "--reference", bad), f"{bad}, line 2 is not JSON"),
        ((good, "--window", "soon"), "'soon' is not a length of time"),
        ((good, "--output", good), "is an input of the command"),
        ((good,), "none is left to compare with it"),
        (
            (good, "--reference", good, str(tmp_path / "steps")),
            "steps is not an export: its first line is a `run` line",
        ),
        (
            (str(tmp_path / "trajectories"), "--skip-broken"),
            "trajectories is not an export: its first line is a `trajectory-run` line",
        ),
    ):
        refused = invoke("evaluate", "drift", *arguments)
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments
        assert message in " ".join(refused.stderr.split()), arguments
        assert "suites.md" not in refused.stderr
    skipped = invoke("evaluate", "drift", bad, "--skip-broken", "--reference", good)
    assert (skipped.exit_code, "left out: broken lines (1)" in skipped.stdout) == (0, True)
