"""Run files are recognised by their content, labelled uniquely, and refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.measured_steps import pairs_of, run_of
from support.synthetic_trajectories import trajectory_run, written

from alpha_umi.trajectory import Limits
from evaluation.errors import OtherVersion
from evaluation.files.step_run import Run, write_run
from evaluation.files.trajectory_run import ToolServerRecord, TrajectoryRun
from evaluation.reporting.inputs import BootstrapOptions, StepsRun, TrajectoriesRun, read_runs
from recordings.errors import DataError, DuplicateId, EmptySuite

QUICK = BootstrapOptions(100)


def steps(path: Path, run: Run | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_run(path, run or run_of(pairs_of({})))
    return path


def test_both_kinds_are_read_and_named_by_what_differs(tmp_path: Path) -> None:
    first = steps(tmp_path / "a" / "free.jsonl")
    second = steps(tmp_path / "b" / "free.jsonl", run_of(pairs_of({"a/1": None})))
    (tmp_path / "trajectories").write_text(written(trajectory_run([True, False])))
    one, other, complete = read_runs([first, second, tmp_path / "trajectories"], QUICK)
    assert [run.named.title for run in (one, other, complete)][:2] == ["A a/free", "B b/free"]
    assert isinstance(one, StepsRun)
    assert isinstance(other, StepsRun)
    assert isinstance(complete, TrajectoriesRun)
    assert one.cases_digest == other.cases_digest
    assert other.report.missing == ["a/1"]
    assert complete.report.figures["right"].value == 0.5


def test_commands_can_be_given_again(tmp_path: Path) -> None:
    (tmp_path / "it's.jsonl").write_text(written(trajectory_run([True, False], max_steps=4)))
    one, complete = read_runs([steps(tmp_path / "one.jsonl"), tmp_path / "it's.jsonl"], QUICK)
    assert one.commands[0].endswith("generate --suite three --limit 3 --constrained --output one.jsonl")
    *_, made, shown = complete.commands
    assert "trajectories --suite shop --limit 2 --strategy chain --max-steps 4 --output 'it'" in made
    assert shown.endswith("--format trajectories")


def test_the_letters_go_on(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(28)]
    for number, path in enumerate(paths):
        path.write_text(written(trajectory_run([True], max_steps=number + 1)))
    assert [run.named.key for run in read_runs(paths, QUICK)][24:] == ["Y", "Z", "AA", "AB"]


def test_the_same_run_twice_is_refused(tmp_path: Path) -> None:
    path = steps(tmp_path / "one.jsonl")
    with pytest.raises(DuplicateId, match="is given twice"):
        read_runs([path, path], QUICK)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(DuplicateId, match="is the same run as"):
        read_runs([path, copy], QUICK)


def test_the_command_of_a_trajectory_run_has_all_settings_of_the_file(tmp_path: Path) -> None:
    server = ToolServerRecord(strip="filter", max_characters=300)
    limits = {"max_steps": 4, "max_tokens": 900, "max_repeats": 2}
    free = trajectory_run([True], constrained=False, strategy="dfsdt", tool_server=server, **limits)
    (tmp_path / "free.jsonl").write_text(written(free))
    (run,) = read_runs([tmp_path / "free.jsonl"], QUICK)
    assert run.commands[1:-1] == (
        "alpha-umi evaluate trajectories --suite shop --limit 1 --strategy dfsdt --max-steps 4 --max-tokens 900 "
        "--max-repeats 2 --tool-server http://HOST:8080 --strip filter --max-observation 300 --output free.jsonl",
    )


SEARCH_LIMITS = Limits(max_steps=30, max_depth=6)
SETTINGS: dict[str, tuple[TrajectoryRun, str]] = {
    "a search": (
        trajectory_run([True, True], strategy="dfsdt", constrained=False, limits=SEARCH_LIMITS),
        "max_steps=30, max_repeats=3, on_unreadable='conclusion', max_tokens=None, max_depth=6, max_width=2, "
        "constrained=False",
    ),
    "a chain": (
        trajectory_run([True], limits=Limits(max_steps=5, max_tokens=900_000, max_repeats=2)),
        "max_steps=5, max_repeats=2, on_unreadable='conclusion', max_tokens=900000",
    ),
}


@pytest.mark.parametrize(("run", "settings"), SETTINGS.values(), ids=SETTINGS)
def test_the_settings_of_the_orchestrator_stand_before_the_command(
    run: TrajectoryRun, settings: str, tmp_path: Path
) -> None:
    (tmp_path / "one.jsonl").write_text(written(run))
    (read,) = read_runs([tmp_path / "one.jsonl"], QUICK)
    assert read.commands[0] == f"# the orchestrator's settings: {settings}"


def test_several_values_of_a_limit_are_all_named(tmp_path: Path) -> None:
    first, second = (trajectory_run([True, None], strategy="dfsdt", limits=Limits(max_depth=depth)) for depth in (4, 6))
    (record,) = second.records
    both = TrajectoryRun(first.about, (*first.records, record.model_copy(update={"recorded": "q1"})))
    (tmp_path / "one.jsonl").write_text(written(both))
    (read,) = read_runs([tmp_path / "one.jsonl"], QUICK)
    assert "max_depth=4 or 6," in read.commands[0]


@pytest.mark.parametrize(
    "respell",
    [
        lambda line: json.dumps(json.loads(line)),
        lambda line: json.dumps(dict(reversed(json.loads(line).items())), indent=None),
        lambda line: "\n" + line,
    ],
    ids=["spaces", "another order", "an empty line"],
)
def test_a_file_is_known_by_its_kind_however_it_is_written(tmp_path: Path, respell: Callable[[str], str]) -> None:
    head, *others = written(trajectory_run([True])).splitlines(keepends=True)
    (tmp_path / "trajectories").write_text("".join([respell(head.strip()) + "\n", *others]))
    (run,) = read_runs([tmp_path / "trajectories"], QUICK)
    assert isinstance(run, TrajectoriesRun)


@pytest.mark.parametrize("kind", ["run", "trajectory-run"])
def test_an_empty_run_is_refused(tmp_path: Path, kind: str) -> None:
    run = run_of(pairs_of(dict.fromkeys(("a/1", "b/1", "c/1"))))
    path = steps(tmp_path / "one.jsonl", run)
    if kind == "trajectory-run":
        path.write_text(written(trajectory_run([None, None])))
    with pytest.raises(EmptySuite, match=r"has no (prediction|trajectory) yet") as refused:
        read_runs([path], QUICK)
    assert "again" in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("text", "reads"), [(written(trajectory_run([True])), 2), (None, 1)], ids=["trajectories", "steps"]
)
def test_a_file_of_another_version_is_refused_by_its_number(tmp_path: Path, text: str | None, reads: int) -> None:
    path = steps(tmp_path / "one.jsonl")
    path.write_text((text or path.read_text()).replace(f'"version":{reads}', '"version":0', 1))
    with pytest.raises(OtherVersion, match=f"is of version 0, and this program reads version {reads}") as refused:
        read_runs([path], QUICK)
    assert "make it again" in str(refused.value.remedy)


@pytest.mark.parametrize(
    "text",
    ["", "words\n", "[]", "{}\n", '{"kind":"run"}\n', '{"kind":"judge-run","version":1}\n', "\x00", "[" * 100_000],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(DataError) as refused:
        read_runs([tmp_path / "file"], QUICK)
    assert refused.value.remedy
