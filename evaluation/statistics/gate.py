"""A gate before a release: is the second of two files worse than the first beyond what chance brings?

Each figure is one look at the same sample, and of many looks one goes wrong by chance. So the chosen figures are held
to Holm's procedure (A simple sequentially rejective multiple test procedure, 1979): all `m` at the confidence
1 - 0.05/m, then those that are left at the confidence for their number, until none leaves 0 out any more. As far as the
intervals hold what they promise, a release that is as good as the one before it is stopped in at most one of twenty
comparisons, however many figures are looked at (docs/evaluation.md says how often it was). What cannot be told does not
stop a release, but how large a fall would have had to be is said (`smallest_fall`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from evaluation.compare import NAMELESS, Comparison
from evaluation.counted import counted
from evaluation.errors import GateRefused, some
from evaluation.files.step_run import RunRecord
from evaluation.statistics import Correction
from evaluation.statistics.bootstrap import CONFIDENCE, Interval
from evaluation.statistics.paired import Difference, Verdict
from evaluation.told_limits import told_limits
from evaluation.whole_run import WholeRun, WholeRunRecord

# How predictions were asked for, which is no property of the models.
_SETTINGS: Final = (
    "suite", "constrained", "attempts", "strategy", "max_steps", "max_tokens", "max_repeats", "tool_server",
)  # fmt: skip
# Of an orchestrator, as each trajectory's first event tells them; a search's depth and width are in no request.
_LIMITS: Final = ("max_steps", "max_tokens", "max_repeats", "max_depth", "max_width")
SETTINGS_REMEDY = "measure the second again, as the first was"


@dataclass(frozen=True)
class GatedFigure:
    """A figure that the gate looked at, with the confidence at which it was found or last looked at."""

    item: Difference
    confidence: float
    verdict: Verdict

    @property
    def interval(self) -> Interval | None:
        """The interval of the difference with this confidence."""
        return self.item.interval_at(self.confidence)

    @property
    def smallest_fall(self) -> float | None:
        """The smallest worsening that this sample could show with this confidence; None where it can show none."""
        return self.item.smallest_fall(self.confidence)

    def would_miss(self, fall: float) -> bool:
        """Whether a share is open of which the sample could not have shown such a fall."""
        smallest = self.smallest_fall
        return self.verdict == "open" and self.item.metric.is_share and (smallest is None or smallest > fall)


@dataclass(frozen=True)
class Gate:
    """What the gate says of all figures that it looked at, in their order."""

    correction: Correction
    figures: tuple[GatedFigure, ...]

    @property
    def worse(self) -> tuple[GatedFigure, ...]:
        """Those that stop the release."""
        return tuple(figure for figure in self.figures if figure.verdict == "worse")


def gate(comparison: Comparison, metrics: Sequence[str], correction: Correction = Correction.HOLM) -> Gate:
    """Hold the named figures of a comparison to the gate.

    Raises `GateRefused` where predictions are missing, and for a name that no figure has.
    """
    by_name = {item.metric.name: item for item in comparison.differences}
    unknown = [name for name in metrics if name not in by_name]
    if unknown:
        raise GateRefused(f"no figure is called {some(unknown)}", remedy=f"take some of: {', '.join(by_name)}")
    return hold([by_name[name] for name in dict.fromkeys(metrics)], correction)


def hold(items: Sequence[Difference], correction: Correction = Correction.HOLM) -> Gate:
    """Hold differences to the gate, all of them."""
    levels = _holm(items) if correction is Correction.HOLM else [CONFIDENCE] * len(items)
    figures = [GatedFigure(item, level, item.verdict_at(level)) for item, level in zip(items, levels, strict=True)]
    return Gate(correction, tuple(figures))


def require_complete(first: Sequence[str], second: Sequence[str], noun: str = "prediction") -> None:
    """Raises `GateRefused` where one of two files lacks predictions, or what `noun` names: these names."""
    for which, missing in (("first", first), ("second", second)):
        if missing:
            raise GateRefused(
                f"the {which} file lacks {counted(len(missing), noun)}: {_listed(missing)}",
                remedy="give the command again that made it: it goes on from there",
            )


def _listed(missing: Sequence[str]) -> str:
    """Some of the names, and how many questions have none, since neither file came to them."""
    named = [name for name in missing if not name.startswith(NAMELESS)]
    nameless = f"{len(missing) - len(named):,} that neither file has" if len(named) < len(missing) else ""
    return " and ".join(filter(None, (some(named), nameless)))


def require_same_settings(first: RunRecord | WholeRunRecord | None, second: RunRecord | WholeRunRecord | None) -> None:
    """Raises `GateRefused` for two runs that were not asked in the same way."""
    for name in _SETTINGS:
        one, other = getattr(first, name, None), getattr(second, name, None)
        if one != other and not _unknown(name, one, other):
            raise GateRefused(
                f"the files were made with other settings: `{name}` is {_shown(one)} and {_shown(other)}",
                remedy=SETTINGS_REMEDY,
            )


def require_same_limits(first: WholeRun, second: WholeRun) -> None:
    """Raises `GateRefused` for two runs whose trajectories had other limits, as far as both files tell them."""
    for name in _LIMITS:
        one, other = told_limits(first, name), told_limits(second, name)
        if one and other and one != other:
            raise GateRefused(
                f"the orchestrator had other limits: `{name}` is {' and '.join(one)} in the first file, "
                f"and {' and '.join(other)} in the second",
                remedy="set the limits of the orchestrator as they were, and measure the second again",
            )


def _shown(value: object) -> str:
    return repr(value.model_dump() if isinstance(value, BaseModel) else value)


def _unknown(name: str, *values: object) -> bool:
    """Whether an orchestrator did not say it; everything else is as the command was given."""
    return name == "constrained" and None in values


def _holm(items: Sequence[Difference]) -> list[float]:
    """The confidence of each, at which it was told apart, or last looked at."""
    levels = [CONFIDENCE] * len(items)
    left = list(range(len(items)))
    while left:
        level = 1 - (1 - CONFIDENCE) / len(left)
        for place in left:
            levels[place] = level
        still = [place for place in left if items[place].verdict_at(level) == "open"]
        if len(still) == len(left):
            return levels
        left = still
    return levels
