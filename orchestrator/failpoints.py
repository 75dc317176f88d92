"""Named points at which a test kills the process like `kill -9`, to prove that no acknowledged write is lost.

There is a point before and after each commit and each send. In production none is armed.
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
    """Kills the process when the point NAME of `spec` (NAME:N) is reached for the Nth time."""

    def __init__(self, spec: str | None = None) -> None:
        name, _, ordinal = (spec or "").partition(":")
        self._name = name
        self._left = int(ordinal or 0)

    def reach(self, name: Failpoint) -> None:
        """Pass a failpoint, or kill the process there."""
        if name != self._name:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
