"""Every application conforms to its OpenAPI document for any request.

Schemathesis generates from each document: the edges of every schema, random valid and invalid requests, undeclared
methods, and chains of requests that use earlier results.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.fuzz_depth import DEEP
from support.fuzzed_applications import APPLICATIONS, application_running

pytestmark = pytest.mark.slow

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
CHECKS = Path(__file__).with_name("schemathesis_checks.py")
# Requests an operation; the edges of its schema come on top.
REQUESTS = 1_000 if DEEP else 60


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_does_what_its_document_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with application_running(name, tmp_path) as address:
        walk = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(CONFIGURATION)),
                *("run", f"{address}/openapi.json", "--max-examples", str(REQUESTS)),
                *([] if DEEP else ["--generation-deterministic"]),
            ],
            cwd=tmp_path,
            env=os.environ | {"SCHEMATHESIS_HOOKS": str(CHECKS)},
            capture_output=True,
            text=True,
        )
    with capsys.disabled() if DEEP else contextlib.nullcontext():
        print(f"\n{name}:", *re.findall(r"[0-9]+ generated.*", walk.stdout))
    assert walk.returncode == 0, walk.stdout[-20_000:] + walk.stderr
