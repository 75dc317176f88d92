"""Imports point down only, without circles, and one module alone knows vLLM."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "alpha_umi",
    "services",
    "orchestrator",
    "cli",
    "examples",
    "recordings",
    "training",
    "evaluation",
    "benchmarks",
    "deploy",
)

# What each part may import of this project, itself included.
ALLOWED = {
    "alpha_umi.atomic": ("alpha_umi.atomic",),
    "alpha_umi.redaction": ("alpha_umi.redaction",),
    "alpha_umi.roles": ("alpha_umi.roles",),
    "alpha_umi.trajectory": ("alpha_umi.trajectory", "alpha_umi.roles"),
    "alpha_umi.telemetry": ("alpha_umi.telemetry",),
    "alpha_umi.contract": ("alpha_umi.contract", "alpha_umi.roles", "alpha_umi.trajectory"),
    "alpha_umi.client": ("alpha_umi.client", "alpha_umi.contract", "alpha_umi.roles", "alpha_umi.trajectory"),
    "alpha_umi.web": ("alpha_umi.web", "alpha_umi.contract", "alpha_umi.telemetry"),
    "alpha_umi.serving": (
        "alpha_umi.serving", "alpha_umi.web", "alpha_umi.contract", "alpha_umi.roles", "alpha_umi.telemetry",
        "alpha_umi.atomic", "alpha_umi.plain_text",
    ),
    "services.planner": ("services.planner", "alpha_umi"),
    "services.caller": ("services.caller", "alpha_umi"),
    "services.summarizer": ("services.summarizer", "alpha_umi"),
    "services.backbone": ("services.backbone", "alpha_umi"),
    "services.shared": ("services.shared", "services.planner", "services.caller", "services.summarizer", "alpha_umi"),
    "orchestrator": (
        "orchestrator", "alpha_umi.trajectory", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.web",
        "alpha_umi.telemetry", "alpha_umi.quantities", "alpha_umi.redaction",
    ),
    "examples": ("examples",),
    # Calls are made and told as the orchestrator does.
    "examples.practice": ("examples", "orchestrator.tools", "alpha_umi.redaction"),
    "training": (
        "training", "recordings", "alpha_umi.atomic", "alpha_umi.roles", "alpha_umi.contract",
        "alpha_umi.serving.tokens", "alpha_umi.serving.manifest", "alpha_umi.serving.processor",
        "alpha_umi.serving.weights",
    ),
    # Recorded trajectories: training data and evaluation suites.
    "recordings": ("recordings", "alpha_umi.roles", "alpha_umi.contract"),
    # These are servers, with the problem documents of all others.
    "evaluation.replay": (
        "evaluation", "recordings", "alpha_umi.client", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.web",
        "alpha_umi.redaction",
    ),
    "evaluation": (
        "evaluation", "recordings", "alpha_umi.client", "alpha_umi.roles", "alpha_umi.contract", "alpha_umi.trajectory",
        "alpha_umi.serving.engine", "alpha_umi.plain_text", "alpha_umi.atomic", "alpha_umi.quantities",
        "alpha_umi.redaction",
    ),
    # The process supervisor; tool source files are checked by the orchestrator's parser.
    "cli.local": (
        "cli.local", "cli.errors", "orchestrator.tools.errors",
        "orchestrator.tools.sources_file", "alpha_umi",
    ),
    "benchmarks": (
        "benchmarks", "cli.errors", "cli.in_process", "cli.local", "cli.options", "evaluation",
        "examples", "orchestrator.tools", "recordings", "services", "alpha_umi",
    ),
    # Registers and calls as the orchestrator does; what predicts the requests shares nothing with it.
    "benchmarks.openapi": ("benchmarks", "alpha_umi", "orchestrator.tools"),
    "benchmarks.prefixes": ("benchmarks", "alpha_umi", "training"),
    "benchmarks.documents": ("benchmarks.documents",),
    "cli": ("cli", "alpha_umi", "evaluation", "recordings", "training", "services"),
    # Reads a document of tools as the orchestrator does, where none runs.
    "cli.commands.tool_check": ("cli", "alpha_umi", "orchestrator.tools"),
    # Reads the orchestrator's database where no orchestrator runs.
    "cli.event_log": ("cli", "alpha_umi", "orchestrator.store.tables"),
    "deploy": ("deploy",),
    "alpha_umi.plain_text": (),
    "alpha_umi.quantities": (),
}  # fmt: skip
STANDARD_LIBRARY_ONLY = ("alpha_umi.atomic", "alpha_umi.redaction", "alpha_umi.roles")
ONLY_VLLM = ("alpha_umi.serving.vllm_engine", "alpha_umi.serving.vllm_worker")
# Reading runs and computing metrics needs no HTTP client, no server and no model.
PURE = (
    "evaluation.compare",
    "evaluation.drift.figures",
    "evaluation.files.predictions",
    "evaluation.files.published",
    "evaluation.files.step_run",
    "evaluation.files.trajectory_run",
    "evaluation.metrics.trajectory",
    "evaluation.results",
    "evaluation.scoring",
    "recordings.trajectory",
)
NETWORK_OR_MODELS = ("fastapi", "httpx", "starlette", "torch", "uvicorn", "vllm")


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, those inside functions included."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (
                f"{node.module}.{alias.name}" for alias in node.names if node.module in ("alpha_umi", "services")
            )


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def part_of(module: str) -> str | None:
    return next((part for part in sorted(ALLOWED, key=len, reverse=True) if within(module, (part,))), None)


def offences(module: str, names: Iterator[str]) -> Iterator[str]:
    """The imports that a module must not have."""
    part = part_of(module)
    for name in names:
        ours = within(name, PACKAGES)
        if part is not None and ours and name not in ("alpha_umi", "services") and not within(name, ALLOWED[part]):
            yield f"{module} must not import {name}"
        elif within(module, STANDARD_LIBRARY_ONLY) and not ours:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield f"{module} must not import {name}"
        elif within(name, ("vllm",)) and module not in ONLY_VLLM:
            yield f"{module} must not import vllm"


def test_arrows_point_down() -> None:
    assert [offence for path in sources() for offence in offences(module_of(path), imported(path))] == []


def test_every_module_has_a_row() -> None:
    """Modules outside of all parts have no import rule; only the empty package files above the parts may be."""
    files = [*ROOT.glob("*/__init__.py"), *ROOT.glob("[!.]*/*/__init__.py")]
    folders = {path.relative_to(ROOT).parts[0] for path in files}
    assert folders - {"tests"} <= set(PACKAGES)
    assert [module for path in sources() if part_of(module := module_of(path)) is None] == ["alpha_umi", "services"]


def test_no_import_circle() -> None:
    """Explicit imports only: that `a.b` also runs the file of the package `a` is no arrow."""
    modules = {module_of(path): path for path in sources()}
    graph = {module: set(_modules_imported(path, modules)) - {module} for module, path in modules.items()}
    assert circle_in(graph) == []


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _modules_imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from [name] if name in modules else [node.module] if node.module in modules else []


def test_pure_modules_import_no_server_client_or_model() -> None:
    program = f"import sys, {', '.join(PURE)}; print(*sorted(set(sys.modules) & set({NETWORK_OR_MODELS})))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_the_rules_bite(tmp_path: Path) -> None:
    offender = tmp_path / "offender.py"
    offender.write_text("from services.caller import call\nimport vllm.config\n")
    assert list(imported(offender)) == ["services.caller", "vllm.config"]
    assert list(offences("services.planner.offender", imported(offender))) == [
        "services.planner.offender must not import services.caller",
        "services.planner.offender must not import vllm",
    ]
    outside = "alpha_umi.roles.offender must not import numpy"
    assert list(offences("alpha_umi.roles.offender", iter(["numpy"]))) == [outside]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()}) != []


def test_nothing_can_carry_code() -> None:
    """No pickle, no eval, no unsafe YAML anywhere in the product."""
    for path in sources():
        names = set(imported(path))
        assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, path
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), path
