"""The Dockerfiles: not root, only locked packages, a small context."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from support.deployment_files import DOCKERFILES, ROOT, Instruction, read_compose, read_dockerfile, stages

from alpha_umi.serving.settings import PORTS


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.name)
def instructions(request: pytest.FixtureRequest) -> list[Instruction]:
    return read_dockerfile(request.param)


def inherited(instructions: list[Instruction], keyword: str) -> list[str]:
    """The texts of an instruction in the last stage and its base stages, newest first."""
    by_name = {name: stage for stage in stages(instructions) if (name := stage[0].text.partition(" AS ")[2])}
    result: list[str] = []
    stage: list[Instruction] | None = stages(instructions)[-1]
    while stage is not None:
        result += [instruction.text for instruction in reversed(stage) if instruction.keyword == keyword]
        # If the base stage depends on an argument, all its values end the same way.
        base = stage[0].text.partition(" AS ")[0].replace("${ROLE}", "planner").replace("${ENGINE}", "gpu")
        stage = by_name.get(base)
    return result


def test_there_are_dockerfiles() -> None:
    assert {path.name for path in DOCKERFILES} == {
        entry["build"]["dockerfile"].removeprefix("deploy/") for entry in read_compose()["services"].values()
    }


def test_it_ends_as_a_user_without_rights(instructions: list[Instruction]) -> None:
    assert inherited(instructions, "USER")[0] == "10001:10001"


def test_its_base_is_pinned_by_digest(instructions: list[Instruction]) -> None:
    assert re.fullmatch(r"BASE=python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", instructions[0].text)
    made_here = {stage[0].text.partition(" AS ")[2] for stage in stages(instructions)}
    for stage in stages(instructions):
        base = stage[0].text.partition(" AS ")[0]
        variants = {
            base.replace("${ENGINE}", engine).replace("${ROLE}", role) for engine in ("cpu", "gpu") for role in PORTS
        }
        assert base == "${BASE}" or variants <= made_here


def test_it_installs_only_what_is_locked(instructions: list[Instruction]) -> None:
    commands = [
        command.strip()
        for instruction in instructions
        if instruction.keyword == "RUN"
        for command in instruction.text.split("&&")
    ]
    installs = [command for command in commands if re.search(r"\bpip (?!-)", command)]
    assert installs
    for command in installs:
        assert "--no-deps" in command
        if "--no-index" in command:
            assert "wheel --no-index --no-deps --no-build-isolation" in command or command.endswith("/wheels/*.whl")
        else:
            assert "--require-hashes --only-binary :all:" in command
    assert not any(re.search(r"\b(curl|wget|git|npm)\b", command) for command in commands)


def test_it_holds_its_bill_of_materials_and_notices(instructions: list[Instruction]) -> None:
    [bill] = [stage for stage in stages(instructions) if stage[0].text.endswith(" AS bill")]
    made = " ".join(instruction.text for instruction in bill)
    assert "cyclonedx-py environment" in made
    assert "/bill/sbom.cdx.json" in made
    assert "pip-licenses --python /opt/venv/bin/python" in made
    assert "/bill/THIRD_PARTY_NOTICES" in made
    assert "--from=bill /bill /usr/share/doc/alpha-umi" in inherited(instructions, "COPY")


def test_every_file_names_the_same_base() -> None:
    bases = {read_dockerfile(path)[0].text.removeprefix("BASE=") for path in DOCKERFILES}
    [base] = bases
    for name in ("docker-compose.yml", ".env.example"):
        assert base in (ROOT / name).read_text(encoding="utf-8"), name


def test_it_leaves_no_package_caches(instructions: list[Instruction]) -> None:
    for stage in stages(instructions):
        runs = [instruction.text for instruction in stage if instruction.keyword == "RUN"]
        for text in runs:
            if "apt-get install" in text:
                assert "--no-install-recommends" in text
                assert text.endswith("rm -rf /var/lib/apt/lists/*")
    pips = [text for text in inherited(instructions, "RUN") if "pip" in text]
    assert all("--no-cache-dir" in text for text in pips), "an image's own stages"


def test_it_fetches_nothing_by_itself(instructions: list[Instruction]) -> None:
    assert not [instruction for instruction in instructions if instruction.keyword == "ADD"]
    copied = " ".join(instruction.text for instruction in instructions if instruction.keyword == "COPY")
    assert "://" not in copied


def test_it_copies_what_the_context_holds(instructions: list[Instruction]) -> None:
    allowed = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    ]
    for instruction in instructions:
        if instruction.keyword != "COPY" or instruction.text.startswith("--from="):
            continue
        for source in instruction.text.split()[:-1]:
            assert (ROOT / source).exists()
            assert any(fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in allowed), source


def test_it_copies_from_stages_by_their_plain_names(instructions: list[Instruction]) -> None:
    """Builders expand variables in FROM, and refuse them in COPY --from."""
    named = {stage[0].text.partition(" AS ")[2] for stage in stages(instructions)}
    copied = [instruction.text for instruction in instructions if instruction.text.startswith("--from=")]
    assert copied
    assert {text.split()[0].removeprefix("--from=") for text in copied} <= named


def test_the_context_is_closed_by_default() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not {"!.env", "!.git", "!deploy", "!."} & {*rules}


def test_it_checks_its_health_and_starts_without_a_shell(instructions: list[Instruction]) -> None:
    [health] = inherited(instructions, "HEALTHCHECK")
    assert "CMD healthcheck " in health
    assert inherited(instructions, "CMD")[0].startswith('["python", "-m", ')
    assert ("deploy/healthcheck.py /usr/local/bin/healthcheck") in inherited(instructions, "COPY")


def test_it_writes_no_bytecode_at_run_time(instructions: list[Instruction]) -> None:
    settings = " ".join(inherited(instructions, "ENV"))
    assert "PYTHONDONTWRITEBYTECODE=1" in settings
    assert "TMPDIR=/tmp" in settings


@pytest.mark.parametrize("role", PORTS)
def test_each_role_starts_its_own_service(role: str) -> None:
    recipe = read_dockerfile(ROOT / "deploy" / "role.Dockerfile")
    [stage] = [stage for stage in stages(recipe) if stage[0].text.endswith(f" AS {role}")]
    assert Instruction("ENV", f"ALPHA_UMI_ROLE_PORT={PORTS[role]}") in stage
    assert Instruction("CMD", f'["python", "-m", "services.{role}"]') in stage
    assert Path(ROOT, "services", role, "__main__.py").exists()
