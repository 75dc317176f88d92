"""`python -m benchmarks.trust.shifted_clock FILE MODULE`: run a module whose wall clock is off by the seconds in FILE.

The file is read again at each look at the clock, so that the clock can jump at run time. The monotonic clock stays.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_real_time = time.time
_RealDatetime = datetime.datetime


class _Instances(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealDatetime)


def shift(file: Path) -> None:
    """Replace the wall clock of this process. Call it before the modules that read the clock are imported."""

    def offset() -> float:
        return float(file.read_text(encoding="utf-8"))

    class ShiftedDatetime(_RealDatetime, metaclass=_Instances):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _RealDatetime.fromtimestamp(_real_time() + offset(), tz)

    datetime.datetime = ShiftedDatetime  # type: ignore[misc]
    time.time = lambda: _real_time() + offset()


if __name__ == "__main__":
    shift(Path(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
