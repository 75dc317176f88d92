"""Read exports: the trajectories that have ended, without duplicates, in the order of their start."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NoReturn

from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.plain_text import plain_line
from recordings.errors import EmptySuite, NotTheFormat
from recordings.formats.trajectories import read_trajectories
from recordings.reading import OnInvalid, read_text

REMEDY: Final = "write the file again with `alpha-umi export`, or skip such lines with --skip-broken"
EXPORT: Final = "name an output of `alpha-umi export --output served.jsonl` or `alpha-umi show ID --json`"
UNFINISHED, TWICE, BROKEN = "not ended yet", "in the exports more than once", "broken lines"


@dataclass(frozen=True)
class Served:
    """The content of exports. `excluded` counts lines that are not ended trajectories, or duplicates, by reason."""

    trajectories: tuple[Trajectory, ...]
    excluded: Mapping[str, int]


def read_served(paths: Sequence[Path], *, skip_broken: bool = False) -> Served:
    """Read exports. Raises `EvaluationError`, and `EmptySuite` if no trajectory has ended."""
    excluded: Counter[str] = Counter()

    def skip(_: NotTheFormat) -> None:
        excluded[BROKEN] += 1

    for path in paths:
        _require_export(path)
    on_invalid: OnInvalid = skip if skip_broken else _refuse
    trajectories = [each for path in paths for each in _checked(read_trajectories(path, on_invalid), path, on_invalid)]
    retained = _once(trajectories, excluded)
    ended = [each for each in retained if each.status not in ("running", "requires_action")]
    excluded[UNFINISHED] += len(retained) - len(ended)
    if not ended:
        raise EmptySuite(
            f"no trajectory has ended in {', '.join(map(str, paths))}",
            remedy="export a longer time: `alpha-umi export`",
        )
    return Served(tuple(sorted(ended, key=_began)), {reason: count for reason, count in excluded.items() if count})


def _require_export(path: Path) -> None:
    """Raises `NotTheFormat` for another JSON Lines file, which has a header record."""
    try:
        head = json.loads(next(filter(str.strip, read_text(path).split("\n")), "null"))
    except (ValueError, RecursionError):
        return
    if isinstance(head, dict) and isinstance(head.get("kind"), str):
        raise NotTheFormat(
            f"{path} is not an export: its first line is a {plain_line('`' + head['kind'][:40])}` line", remedy=EXPORT
        )


def _refuse(error: NotTheFormat) -> NoReturn:
    """Raises the error with the remedy for exports."""
    raise type(error)(error.message, remedy=REMEDY) from error


def _checked(
    numbered: Iterable[tuple[int, Trajectory]], path: Path, on_invalid: Callable[[NotTheFormat], None]
) -> Iterable[Trajectory]:
    """The trajectories with valid times; others fit into no window."""
    for line, trajectory in numbered:
        problem = _time_problem(trajectory)
        if problem is None:
            yield trajectory
        else:
            on_invalid(NotTheFormat(f"{path}, line {line}: {problem}", remedy=REMEDY))


def _time_problem(trajectory: Trajectory) -> str | None:
    for name in ("created_at", "finished_at"):
        moment: datetime | None = getattr(trajectory, name)
        if moment is not None and moment.tzinfo is None:
            return f"{name}: the time has no time zone"
    if trajectory.finished_at is not None and trajectory.finished_at < trajectory.created_at:
        return "finished_at: it ended before it was created"
    return None


def _once(trajectories: Sequence[Trajectory], excluded: Counter[str]) -> list[Trajectory]:
    """Deduplicate: exports may overlap, and a trajectory that runs in one may have ended in a later one."""
    retained: dict[str, Trajectory] = {}
    for trajectory in trajectories:
        before = retained.get(trajectory.id)
        excluded[TWICE] += before is not None
        if (
            before is None
            or before.finished_at is None
            or (trajectory.finished_at or _began(trajectory)) > before.finished_at
        ):
            retained[trajectory.id] = trajectory
    return list(retained.values())


def _began(trajectory: Trajectory) -> datetime:
    return trajectory.created_at
