"""Exports: errors name file and line; unfinished trajectories are counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_trajectories import trajectory

from alpha_umi.contract.trajectories import Trajectory
from evaluation.drift.served import BROKEN, TWICE, UNFINISHED, read_served
from recordings.errors import DataError, EmptySuite, NotTheFormat


def line(**changes: Any) -> str:
    return json.dumps(trajectory().model_dump(mode="json") | changes)


def written(path: Path, *matches: Trajectory | str) -> Path:
    texts = [each if isinstance(each, str) else each.model_dump_json() for each in matches]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def ids(matches: Sequence[Trajectory]) -> list[str]:
    return [each.id for each in matches]


def test_they_stand_in_the_order_of_time_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    newest_first = [trajectory(f"t{number}", after=timedelta(hours=number)) for number in (3, 1, 2)]
    assert ids(read_served([written(tmp_path / "a", *newest_first)]).trajectories) == ["t1", "t2", "t3"]


def test_what_has_not_ended_is_left_out_and_counted(tmp_path: Path) -> None:
    matches = read_served([written(tmp_path / "a", trajectory("a"), trajectory("b", status="running", took=None))])
    assert (ids(matches.trajectories), matches.excluded) == (["a"], {UNFINISHED: 1})


def test_of_exports_that_overlap_the_end_counts(tmp_path: Path) -> None:
    earlier = written(tmp_path / "earlier", trajectory("a", status="running", took=None), trajectory("b"))
    later = written(tmp_path / "later", trajectory("b"), trajectory("a"))
    for order in ([earlier, later], [later, earlier]):
        matches = read_served(order)
        assert (sorted(ids(matches.trajectories)), matches.excluded) == (["a", "b"], {TWICE: 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("words", "line 2 is not JSON"),
        ('{"id": "t"', "line 2 ends in the middle"),
        ('{"kind": "run"}', "line 2: id: Field required"),
        (line(id="b", created_at=None), "line 2: created_at"),
        (line(id="b", created_at="yesterday"), "line 2: created_at"),
        (line(id="b", created_at="2026-03-02T08:00:00"), "line 2: created_at: the time has no time zone"),
        (line(id="b", finished_at="2026-03-01T00:00:00Z"), "line 2: finished_at: it ended before it was created"),
        (line(id="traj_1"), "line 2: the trajectory 'traj_1' is also on line 1"),
    ],
)
def test_a_broken_line_is_named_or_left_out(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "served.jsonl", trajectory(), text)
    with pytest.raises(NotTheFormat) as refused:
        read_served([path])
    assert f"{path}, {message}" in str(refused.value)
    matches = read_served([path], skip_broken=True)
    assert (ids(matches.trajectories), matches.excluded) == (["traj_1"], {BROKEN: 1})


@pytest.mark.parametrize("texts", [(), (trajectory(status="running", took=None),)], ids=["empty", "running"])
def test_an_export_without_an_end_is_refused(tmp_path: Path, texts: tuple[Trajectory, ...]) -> None:
    with pytest.raises(EmptySuite, match="no trajectory has ended"):
        read_served([written(tmp_path / "served.jsonl", *texts)])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_served([tmp_path / "nothing"])
