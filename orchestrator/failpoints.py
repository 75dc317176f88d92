"""Named places where a test lets the process die as `kill -9` would, to show that nothing acknowledged is lost.

Each commit and each send has a point before it and one after it. In production nothing is armed.
"""

from __future__ import annotations

import os
import signal
from typing import Literal

Failpoint = Literal[
    "create.before_commit",
    "create.after_commit",
    "message.before_commit",
    "message.after_commit",
    "output.before_commit",
    "output.after_commit",
    "intent.before_commit",
    "intent.after_commit",
    "role.before_send",
    "role.after_send",
    "tool.before_send",
    "tool.after_send",
    "outcome.before_commit",
    "outcome.after_commit",
]


class Failpoints:
    """Counts the passes of one point, and ends the process at the one that `spec` (NAME:N) names."""

    def __init__(self, spec: str | None = None) -> None:
        name, _, ordinal = (spec or "").partition(":")
        self._name = name
        self._left = int(ordinal or 0)

    def reach(self, name: Failpoint) -> None:
        """Pass a point, or die there."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
