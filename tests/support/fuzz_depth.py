"""Depth of randomized tests: short and deterministic by default, long and random with `make fuzz`."""

from __future__ import annotations

import os

import pytest

DEEP = os.environ.get("ALPHA_UMI_FUZZ") == "deep"

LONG = pytest.mark.skipif(not DEEP, reason="a benchmark with a real engine: `make fuzz` runs it")
