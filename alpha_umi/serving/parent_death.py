"""A vLLM plug-in that kills an engine process when its service dies.

vLLM loads it in each of its processes (entry point `vllm.general_plugins`). Otherwise an engine whose API process was
killed would keep running and keep its memory. Linux only; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, if it is a process that vLLM started."""
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent.pid:  # the parent died before the prctl call
        os.kill(os.getpid(), signal.SIGKILL)
