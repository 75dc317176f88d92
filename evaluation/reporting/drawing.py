"""How intervals are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.intervals import RESAMPLES, SEED


@dataclass(frozen=True)
class Drawing:
    """The resamples of the bootstrap, and its seed."""

    resamples: int = RESAMPLES
    seed: int = SEED
