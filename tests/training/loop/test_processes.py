"""The memory peak of a stage does not include earlier work of the process."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path

from training.loop.processes import peak_rss, reset_peak_rss

TAKEN, ROOM = 256 << 20, 64 << 20


def test_the_peak_begins_anew() -> None:
    with mmap.mmap(-1, TAKEN) as pages:
        pages[:] = b"x" * TAKEN
        high = peak_rss()
    reset_peak_rss()
    low = peak_rss()
    assert low < high - TAKEN + ROOM
    with mmap.mmap(-1, TAKEN) as pages:
        for start in range(0, TAKEN, mmap.PAGESIZE):
            pages[start] = 1
    assert peak_rss() > low + TAKEN - ROOM


def test_where_the_system_does_not_tell(tmp_path: Path) -> None:
    reset_peak_rss(tmp_path / "none")
    assert peak_rss(tmp_path / "none") == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
