"""What suits this processor: the number format (dtype) that it computes correctly, and the threads of an engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def choose_dtype(requested: Dtype, *, gpu: bool, cpu_flags: frozenset[str]) -> Dtype:
    """The dtype to load a model in: the requested one; for "auto" it depends on the processor.

    vLLM's CPU kernels compute nonsense in bfloat16 on processors without bfloat16 instructions, so these get float32. A
    GPU uses the checkpoint's own dtype.
    """
    if requested != "auto":
        return requested
    if gpu:
        return "auto"
    return "bfloat16" if cpu_flags & _BFLOAT16_FLAGS else "float32"


def read_cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The instruction sets of the first core; empty if the file is unreadable."""
    try:
        lines = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The cores that this process may use: its affinity, and the limit of its container (control group, version 2)."""
    cores = len(os.sched_getaffinity(0))
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return max(1, min(cores, int(limit) // int(period)))
    except (OSError, ValueError):
        # There is no file, or it has the word "max".
        return cores


def engine_threads(cores: int) -> int:
    """The threads of an engine that shares `cores` with the engines of other roles and with other programs.

    OpenMP's threads wait for each other by spinning after every operation. A thread without a core of its own delays
    the others by a time slice of the scheduler each time, so that a token takes 20 times as long. With this number two
    engines that compute at once and one busy process fit. One thread is always quick: it waits for nobody.
    """
    return max(1, (cores - 1) // 2)
