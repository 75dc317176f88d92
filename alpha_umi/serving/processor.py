"""The number format (dtype) that this processor computes correctly."""

from __future__ import annotations

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
