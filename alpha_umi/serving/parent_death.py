"""A vLLM plug-in that ends an engine process together with the service that owns it.

vLLM loads it in each of its processes (entry point `vllm.general_plugins`). An engine whose API process was killed
would otherwise live on and keep its memory. Linux only; elsewhere it does nothing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def arm() -> None:
    """Ask the kernel to kill this process when its parent dies, if it is a process that vLLM started."""
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent.pid:  # the parent died before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)
