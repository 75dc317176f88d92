"""The dtype and the number of threads depend on the processor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alpha_umi.serving.processor import Dtype, available_cores, choose_dtype, engine_threads, read_cpu_flags


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


@pytest.mark.parametrize(
    ("cores", "threads"),
    [(1, 1), (2, 1), (4, 1), (8, 3), (16, 7)],
)
def test_two_engines_and_another_program_have_cores_of_their_own(cores: int, threads: int) -> None:
    assert engine_threads(cores) == threads


@pytest.mark.parametrize(
    ("limit", "most"),
    [("100000 100000", 1), ("50000 100000", 1), ("max 100000", 10_000), ("1000000000 100000", 10_000), ("", 10_000)],
)
def test_cores_are_those_that_a_container_may_use(tmp_path: Path, limit: str, most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{limit}\n")
    assert available_cores(file) == min(most, len(os.sched_getaffinity(0)))
    assert available_cores(tmp_path / "missing") == len(os.sched_getaffinity(0))
