"""How far the random tests go: a fixed short way in every run, a long new one with `make fuzz`."""

from __future__ import annotations

import os

DEEP = os.environ.get("ALPHA_UMI_FUZZ") == "deep"
