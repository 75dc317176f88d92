"""From a mixture to the trajectories of each split: read, filtered, and without duplicates."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recordings.contamination import instruction_digest
from recordings.errors import NotTheFormat
from recordings.formats.source import read_source
from recordings.suites.definition import DATA_VARIABLE
from recordings.trajectory import Loaded, RecordedTrajectory
from training.errors import BrokenEntries, MixtureUnusable, SourceMissing
from training.examples import Split
from training.filters import Filters, make_filters, tool_set
from training.mixture import Mixture, Source
from training.rationale import with_rationales

BROKEN: Final = "broken"
OTHER_TOOLS: Final = "a tool set that is not among `tool_sets`"
TOO_MANY: Final = "more than `at_most`"
# Hexadecimal digits of an instruction's digest that decide whether it is in the dev split.
DIGITS: Final = 8
SKIP_REMEDY: Final = "correct them, or exclude them with --skip-broken"


@dataclass(frozen=True)
class Selected:
    """The selection from a source. `read` counts its trajectories, `dropped` those that were excluded, by reason."""

    source: Source
    read: int
    trajectories: dict[Split, tuple[RecordedTrajectory, ...]]
    dropped: dict[str, int]
    broken: tuple[str, ...]


@dataclass
class _SourceData:
    source: Source
    loaded: Loaded
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _SplitSelection:
    trajectories: tuple[RecordedTrajectory, ...]
    reasons: Sequence[str]


def select(mixture: Mixture, data: Path, *, skip_broken: bool = False) -> list[Selected]:
    """The trajectories of a mixture, for each source and split.

    Raises `SourceMissing`, `BrokenEntries` unless `skip_broken`, `MixtureUnusable`, and `DataError` for
    unreadable files.
    """
    paths = [_path(source, data) for source in mixture.sources]
    filters = make_filters(mixture.suites, data, None if mixture.overlaps is None else data / mixture.overlaps)
    sources = [_read(source, path) for source, path in zip(mixture.sources, paths, strict=True)]
    broken = tuple(place for each in sources for place in each.broken)
    if broken and not skip_broken:
        raise BrokenEntries(broken, remedy=SKIP_REMEDY)
    # The dev split of all sources comes first: its instructions are excluded from train.
    dev = [_select_split(each, filters, dev=True, seed=mixture.seed) for each in sources]
    train = [_select_split(each, filters, dev=False, seed=mixture.seed) for each in sources]
    return [_selected(*each) for each in zip(sources, dev, train, strict=True)]


def _path(source: Source, data: Path) -> Path:
    path = data / source.data
    if path.exists():
        return path
    what = f"the data of the source {source.name!r} is not at {path}" if data.is_dir() else f"there is no folder {data}"
    raise SourceMissing(
        what,
        remedy=f"training/README.md has its source; put it at {source.data} in a folder of data, and name that "
        f"folder with {DATA_VARIABLE}",
    )


def _read(source: Source, path: Path) -> _SourceData:
    broken: list[str] = []

    def collect(error: NotTheFormat) -> None:
        broken.append(error.message)

    loaded = read_source(source.format, path, collect)
    missing = {*source.tool_sets, *source.dev_tool_sets} - {tool_set(each) for each in loaded.trajectories}
    if missing:
        raise MixtureUnusable(
            f"the source {source.name!r} has no tool set {sorted(missing)[0]!r}",
            remedy="correct `tool_sets` or `dev_tool_sets`",
        )
    return _SourceData(source, loaded, broken)


def _select_split(data: _SourceData, filters: Filters, *, dev: bool, seed: int) -> _SplitSelection:
    source, accepted, reasons = data.source, [], []
    for trajectory in data.loaded.trajectories:
        if _is_of_dev(trajectory, source) is not dev:
            continue
        if not dev and source.tool_sets and tool_set(trajectory) not in source.tool_sets:
            reasons.append(OTHER_TOOLS)
        elif (reason := filters.reason(trajectory, dev=dev)) is None:
            accepted.append(trajectory)
        else:
            reasons.append(reason)
    sampled = accepted if dev or source.at_most is None else _sample(accepted, source.at_most, f"{seed}:{source.name}")
    reasons += [TOO_MANY] * (len(accepted) - len(sampled))
    return _SplitSelection(tuple(with_rationales(each, source.rationale) for each in sampled), reasons)


def _is_of_dev(trajectory: RecordedTrajectory, source: Source) -> bool:
    if source.dev_tool_sets:
        return tool_set(trajectory) in source.dev_tool_sets
    return int(instruction_digest(trajectory.instruction)[:DIGITS], 16) < source.dev_share * 16**DIGITS


def _sample(trajectories: Sequence[RecordedTrajectory], number: int, seed: str) -> list[RecordedTrajectory]:
    """A random sample in the original order; a seed always gives the same one."""
    if number >= len(trajectories):
        return list(trajectories)
    chosen = random.Random(seed).sample(range(len(trajectories)), number)  # noqa: S311 - not a secret
    return [trajectories[place] for place in sorted(chosen)]


def _selected(data: _SourceData, dev: _SplitSelection, train: _SplitSelection) -> Selected:
    loaded, broken = data.loaded, len(data.broken)
    dropped = Counter(loaded.excluded) + Counter({BROKEN: broken}) + Counter([*dev.reasons, *train.reasons])
    return Selected(
        source=data.source,
        read=len(loaded.trajectories) + sum(loaded.excluded.values()) + broken,
        trajectories={"train": train.trajectories, "dev": dev.trajectories},
        dropped=dict(dropped),
        broken=tuple(data.broken),
    )
