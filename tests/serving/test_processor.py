"""The dtype depends on the processor."""

from __future__ import annotations

from pathlib import Path

import pytest

from alpha_umi.serving.processor import Dtype, choose_dtype, read_cpu_flags


@pytest.mark.parametrize(
    ("wanted", "gpu", "flags", "chosen"),
    [
        ("auto", False, {"avx512f", "avx512_vnni"}, "float32"),
        ("auto", False, {"avx512f", "avx512_bf16"}, "bfloat16"),
        ("auto", False, {"amx_bf16"}, "bfloat16"),
        ("auto", False, set(), "float32"),
        ("auto", True, set(), "auto"),
        ("bfloat16", False, set(), "bfloat16"),
    ],
)
def test_dtype(wanted: Dtype, gpu: bool, flags: set[str], chosen: Dtype) -> None:
    assert choose_dtype(wanted, gpu=gpu, cpu_flags=frozenset(flags)) == chosen


def test_flags_are_read_from_the_first_core(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx512_bf16\nprocessor : 1\nflags : fpu\n")
    assert read_cpu_flags(cpuinfo) == {"fpu", "avx512_bf16"}
    assert read_cpu_flags(tmp_path / "missing") == frozenset()
