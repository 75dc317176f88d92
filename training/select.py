"""From a mixture to the trajectories of each split: read, guarded, without repetitions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recordings.contamination import instruction_digest
from recordings.errors import NotTheFormat
from recordings.formats.source import read_source
from recordings.suites.definition import VARIABLE
from recordings.trajectory import Loaded, RecordedTrajectory
from training.errors import BrokenEntries, MixtureUnusable, SourceMissing
from training.examples import Split
from training.filters import NO_UNICODE, Guard, Seen, counted, guard, is_unicode, tool_set
from training.mixture import Mixture, Source
from training.rationale import with_rationales

BROKEN: Final = "broken"
TOO_MANY: Final = "more than `at_most`"
# Of a digest, to choose the dev split by.
DIGITS: Final = 8
SKIP_REMEDY: Final = "mend them, or leave them out with --skip-broken"


@dataclass(frozen=True)
class Selected:
    """What is taken of a source; `read` trajectories were there, `dropped` counts the others by the reason."""

    source: Source
    read: int
    trajectories: dict[Split, tuple[RecordedTrajectory, ...]]
    dropped: dict[str, int]
    broken: tuple[str, ...]


@dataclass
class _Found:
    """A source as it was read."""

    source: Source
    loaded: Loaded
    broken: list[str] = field(default_factory=list)


def select(mixture: Mixture, data: Path, *, skip_broken: bool = False) -> list[Selected]:
    """The trajectories of a mixture, for each source and split.

    Raises `SourceMissing`, `BrokenEntries` unless they are to be skipped, `MixtureUnusable`, and `DataError` for
    files that cannot be read at all.
    """
    paths = [_path(source, data) for source in mixture.sources]
    kept_away = guard(mixture.suites, data, None if mixture.overlaps is None else data / mixture.overlaps)
    found = [_read(source, path) for source, path in zip(mixture.sources, paths, strict=True)]
    broken = tuple(place for each in found for place in each.broken)
    if broken and not skip_broken:
        raise BrokenEntries(broken, remedy=SKIP_REMEDY)
    seen = Seen()
    # Dev first, of all sources: what is in it cannot be in train.
    dev = [_taken(each, kept_away, seen, dev=True, seed=mixture.seed) for each in found]
    train = [_taken(each, kept_away, seen, dev=False, seed=mixture.seed) for each in found]
    return [_selected(*each) for each in zip(found, dev, train, strict=True)]


def _path(source: Source, data: Path) -> Path:
    path = data / source.data
    if path.exists():
        return path
    what = f"the data of the source {source.name!r} is not at {path}" if data.is_dir() else f"there is no folder {data}"
    raise SourceMissing(
        what,
        remedy=f"training/README.md says where to get it; put it at {source.data} in a folder of data, and name that "
        f"folder with {VARIABLE}",
    )


def _read(source: Source, path: Path) -> _Found:
    broken: list[str] = []

    def keep(error: NotTheFormat) -> None:
        broken.append(error.message)

    loaded = read_source(source.format, path, keep)
    missing = set(source.dev_tool_sets) - {tool_set(each) for each in loaded.trajectories}
    if missing:
        raise MixtureUnusable(
            f"the source {source.name!r} has no tool set {sorted(missing)[0]!r}", remedy="correct `dev_tool_sets`"
        )
    return _Found(source, loaded, broken)


@dataclass(frozen=True)
class _Taken:
    trajectories: tuple[RecordedTrajectory, ...]
    reasons: Sequence[str | None]


def _taken(found: _Found, kept_away: Guard, seen: Seen, *, dev: bool, seed: int) -> _Taken:
    source = found.source
    there = [each for each in found.loaded.trajectories if _is_of_dev(each, source) is dev]
    reasons = [_reason(each, kept_away, seen, dev=dev) for each in there]
    kept = [each for each, reason in zip(there, reasons, strict=True) if reason is None]
    few = kept if dev or source.at_most is None else _sample(kept, source.at_most, f"{seed}:{source.name}")
    shown = tuple(with_rationales(each, source.rationale) for each in few)
    return _Taken(shown, [*reasons, *([TOO_MANY] * (len(kept) - len(few)))])


def _is_of_dev(trajectory: RecordedTrajectory, source: Source) -> bool:
    if source.dev_tool_sets:
        return tool_set(trajectory) in source.dev_tool_sets
    return int(instruction_digest(trajectory.instruction)[:DIGITS], 16) < source.dev_share * 16**DIGITS


def _reason(trajectory: RecordedTrajectory, kept_away: Guard, seen: Seen, *, dev: bool) -> str | None:
    if not is_unicode(trajectory):
        return NO_UNICODE
    return kept_away.reason(trajectory) or seen.reason(trajectory, dev=dev)


def _sample(trajectories: Sequence[RecordedTrajectory], number: int, seed: str) -> list[RecordedTrajectory]:
    """Some of them, in order; the same ones for the same seed."""
    if number >= len(trajectories):
        return list(trajectories)
    chosen = random.Random(seed).sample(range(len(trajectories)), number)  # noqa: S311 - not a secret
    return [trajectories[place] for place in sorted(chosen)]


def _selected(found: _Found, dev: _Taken, train: _Taken) -> Selected:
    dropped = _sum(found.loaded.left_out, {BROKEN: len(found.broken)}, counted([*dev.reasons, *train.reasons]))
    return Selected(
        source=found.source,
        read=len(found.loaded.trajectories) + sum(found.loaded.left_out.values()) + len(found.broken),
        trajectories={"train": train.trajectories, "dev": dev.trajectories},
        dropped=dropped,
        broken=tuple(found.broken),
    )


def _sum(*counts: dict[str, int]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for each in counts:
        for reason, number in each.items():
            merged[reason] = merged.get(reason, 0) + number
    return {reason: number for reason, number in merged.items() if number}
