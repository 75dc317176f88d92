"""The memory of this process, as Linux counts it."""

from __future__ import annotations

import resource
from pathlib import Path

_PEAK = "VmHWM:"


def count_anew(process: Path = Path("/proc/self")) -> None:
    """Let the peak begin with what is taken now. Where the system does not allow it, the peak stays the old one."""
    try:
        # See proc_pid_clear_refs(5): 5 sets the peak to what is resident.
        (process / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak(process: Path = Path("/proc/self")) -> int:
    """The most bytes that were resident since `count_anew`; elsewhere than on Linux since the process began."""
    try:
        lines = (process / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(_PEAK))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
