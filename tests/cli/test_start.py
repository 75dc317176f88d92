"""The imports at the start of every command, also of `alpha-umi --help`."""

from __future__ import annotations

import subprocess
import sys

# Packages of optional extras, which are slow to import.
OF_EXTRAS = ("fastapi", "jinja2", "jsonschema_rs", "matplotlib", "numpy", "peft", "pydantic_monty", "torch", "vllm")


def test_the_command_starts_without_the_packages_of_extras() -> None:
    code = f"import sys; import cli.main; print(*[name for name in {OF_EXTRAS} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
