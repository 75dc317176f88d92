"""What `make conformance` prints: a line for each part, then what did not pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check of a part. `error` says why it did not pass; None: it passed."""

    name: str
    error: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A part's checks and seconds. `left_out` says why it was not run."""

    part: str
    checks: tuple[Check, ...] = ()
    seconds: float = 0
    left_out: str | None = None

    @property
    def passed(self) -> int:
        """How many checks passed."""
        return sum(check.error is None for check in self.checks)

    @property
    def is_good(self) -> bool:
        """Whether it was left out, or checked something and all of it passed."""
        return self.left_out is not None or (bool(self.checks) and self.passed == len(self.checks))


def table(outcomes: Sequence[Outcome]) -> str:
    """The lines `part  passed/of  seconds`, and the errors below them."""
    width = max([len("part"), *(len(outcome.part) for outcome in outcomes)])
    lines = [f"{'part':<{width}}  passed/of  seconds"]
    for outcome in outcomes:
        if outcome.left_out is None:
            counts = f"{outcome.passed}/{len(outcome.checks)}"
            lines.append(f"{outcome.part:<{width}}  {counts:>9}  {outcome.seconds:>7.1f}")
        else:
            lines.append(f"{outcome.part:<{width}}  {'-':>9}  {'-':>7}  {outcome.left_out}")
    for outcome in outcomes:
        lines += [f"{outcome.part}: {check.name}: {check.error}" for check in outcome.checks if check.error is not None]
    return "\n".join(lines)
