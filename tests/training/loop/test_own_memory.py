"""The peak of a stage's memory is that of the stage, and not of what the process did before."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path

from training.loop import own_memory

TAKEN, ROOM = 256 << 20, 64 << 20


def test_the_peak_begins_anew() -> None:
    with mmap.mmap(-1, TAKEN) as pages:
        pages[:] = b"x" * TAKEN
        high = own_memory.peak()
    own_memory.count_anew()
    low = own_memory.peak()
    assert low < high - TAKEN + ROOM
    with mmap.mmap(-1, TAKEN) as pages:
        for start in range(0, TAKEN, mmap.PAGESIZE):
            pages[start] = 1
    assert own_memory.peak() > low + TAKEN - ROOM


def test_where_the_system_does_not_tell(tmp_path: Path) -> None:
    own_memory.count_anew(tmp_path / "none")
    assert own_memory.peak(tmp_path / "none") == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
