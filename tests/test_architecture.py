"""Imports point down only, and one module alone knows vLLM."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("alpha_umi", "services", "orchestrator", "cli", "examples", "training", "evaluation", "benchmarks")

# What each part may import of this project, itself included.
ALLOWED = {
    "alpha_umi.roles": ("alpha_umi.roles",),
    "alpha_umi.trajectory": ("alpha_umi.trajectory", "alpha_umi.roles"),
    "alpha_umi.telemetry": ("alpha_umi.telemetry",),
    "alpha_umi.contract": ("alpha_umi.contract", "alpha_umi.roles", "alpha_umi.trajectory"),
    "alpha_umi.client": ("alpha_umi.client", "alpha_umi.contract", "alpha_umi.roles", "alpha_umi.trajectory"),
    "alpha_umi.web": ("alpha_umi.web", "alpha_umi.contract", "alpha_umi.telemetry"),
    "alpha_umi.serving": (
        "alpha_umi.serving", "alpha_umi.web", "alpha_umi.contract", "alpha_umi.roles", "alpha_umi.telemetry",
    ),
    "services.planner": ("services.planner", "alpha_umi"),
    "services.caller": ("services.caller", "alpha_umi"),
    "services.summarizer": ("services.summarizer", "alpha_umi"),
    "services.backbone": ("services.backbone", "alpha_umi"),
    "services.shared": ("services.shared", "services.planner", "services.caller", "services.summarizer", "alpha_umi"),
    "orchestrator": (
        "orchestrator", "alpha_umi.trajectory", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.web",
        "alpha_umi.telemetry",
    ),
    "examples": ("examples",),
    # Calls are made and told as the orchestrator does.
    "examples.practice": ("examples", "orchestrator.tools"),
    "training": (
        "training", "evaluation", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.serving.tokens",
        "alpha_umi.serving.manifest", "alpha_umi.serving.processor", "alpha_umi.serving.weights",
    ),
    # These are servers, with the problem documents of all others.
    "evaluation.replay": ("evaluation", "alpha_umi.client", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.web"),
    "evaluation": (
        "evaluation", "alpha_umi.client", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.trajectory",
        "alpha_umi.serving.engine", "alpha_umi.plain_text",
    ),
}  # fmt: skip
STANDARD_LIBRARY_ONLY = ("alpha_umi.roles", "alpha_umi.trajectory")
ONLY_VLLM = "alpha_umi/serving/vllm_engine.py"


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if node.module in ("alpha_umi", "services")
            )


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path: Path) -> None:
    module = module_of(path)
    part = next((part for part in sorted(ALLOWED, key=len, reverse=True) if within(module, (part,))), None)
    for name in imported(path):
        if part is not None and within(name, PACKAGES) and name not in ("alpha_umi", "services"):
            assert within(name, ALLOWED[part]), f"{module} must not import {name}"
        if within(module, STANDARD_LIBRARY_ONLY) and not within(name, PACKAGES):
            import sys

            assert name.partition(".")[0] in sys.stdlib_module_names, f"{module} must not import {name}"
        if within(name, ("vllm",)):
            assert str(path.relative_to(ROOT)) == ONLY_VLLM, f"{module} must not import vllm"


def test_the_rules_bite(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("from services.caller import calling\nimport vllm.config\n")
    assert list(imported(offender)) == ["services.caller", "vllm.config"]
    assert not within("services.caller", ALLOWED["services.planner"])


def test_nothing_can_carry_code() -> None:
    """No pickle, no eval, no unsafe YAML anywhere in the product."""
    for path in sources():
        names = set(imported(path))
        assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
