"""Readers of the deployment's files: the compose file with its variables, the environment file, Dockerfiles, locks."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
LOCKS = sorted((ROOT / "deploy" / "requirements").glob("*.txt"))
SECRETS = {"ALPHA_UMI_API_KEYS": "a-key-of-the-tests-93c1f07e", "ALPHA_UMI_ROLE_TOKEN": "a-token-of-the-tests-4be82d65"}

# ${NAME}, and with a default (:- or -), a message where it is missing (:? or ?), a replacement where it is not (:+ or
# +): the forms that the compose file uses. With a colon an empty value counts as missing.
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<form>:?[-?+])(?P<text>[^${}]*))?\}")


class VariableMissing(Exception):
    """A required variable is not set, or is empty."""


def read_compose() -> dict[str, Any]:
    """The compose file as it is written."""
    content: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return content


def services(*profiles: str, **variables: str) -> dict[str, dict[str, Any]]:
    """The services that start with these profiles (all without any), with the secrets and `variables` filled in."""
    entries = interpolate(read_compose(), SECRETS | variables)["services"]
    return {name: entry for name, entry in entries.items() if not profiles or set(entry["profiles"]) & {*profiles}}


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """`value` with its references replaced the way Compose does it. Raises `VariableMissing`."""
    match value:
        case dict():
            return {key: interpolate(item, variables) for key, item in value.items()}
        case list():
            return [interpolate(item, variables) for item in value]
        case str():
            if "$" in _REFERENCE.sub("", value):
                raise ValueError(f"{value!r} refers to a variable in a form that is not known here")
            return _REFERENCE.sub(lambda match: _replacement(match, variables), value)
        case _:
            return value


def references(value: Any) -> Iterator[str]:
    """The names of the variables that `value` refers to."""
    match value:
        case dict():
            for item in value.values():
                yield from references(item)
        case list():
            for item in value:
                yield from references(item)
        case str():
            yield from (match["name"] for match in _REFERENCE.finditer(value))


def documented_variables() -> dict[str, str]:
    """The variables of .env.example with their values, those of commented lines among them."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


def _replacement(match: re.Match[str], variables: Mapping[str, str]) -> str:
    value, form, text = variables.get(match["name"]), match["form"] or "", match["text"] or ""
    if value is not None and (value or not form.startswith(":")):
        return text if form.endswith("+") else value
    if form.endswith("?"):
        raise VariableMissing(f"{match['name']}: {text}")
    return "" if form.endswith("+") else text


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Dockerfile, its continued lines joined."""

    keyword: str
    text: str


def read_dockerfile(path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile, without comments."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    words = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(keyword.upper(), text) for keyword, text in words]


def stages(instructions: list[Instruction]) -> list[list[Instruction]]:
    """The stages of a Dockerfile, each beginning with its FROM."""
    starts = [index for index, instruction in enumerate(instructions) if instruction.keyword == "FROM"]
    return [instructions[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@dataclass(frozen=True)
class Image:
    """The defaults of a container, unless the compose file overrides them."""

    command: list[str]
    environment: dict[str, str]
    directory: str
    copied: dict[str, str]


def read_image(path: Path, arguments: Mapping[str, str]) -> Image:
    """The image that a Dockerfile makes with these build arguments. `copied` leads from the image to the context."""
    environment: dict[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    last: dict[str, str] = {}
    copied: dict[str, str] = {}
    for instruction in _of_the_last_stage(read_dockerfile(path), arguments):
        last[instruction.keyword] = instruction.text
        if instruction.keyword == "ENV":
            for name, _, value in (word.partition("=") for word in shlex.split(instruction.text)):
                environment[name] = value.replace("$PATH", environment["PATH"])
        elif instruction.keyword == "COPY" and not instruction.text.startswith("--from="):
            *sources, target = instruction.text.split()
            copied |= dict.fromkeys([target], sources[0])
    return Image(json.loads(last["CMD"]), environment, last["WORKDIR"], copied)


def _of_the_last_stage(instructions: list[Instruction], arguments: Mapping[str, str]) -> list[Instruction]:
    """The instructions of the last stage, after those of the stages that it was made from."""
    result: list[Instruction] = []
    by_name = {name: stage for stage in stages(instructions) if (name := stage[0].text.partition(" AS ")[2])}
    stage: list[Instruction] | None = stages(instructions)[-1]
    while stage is not None:
        result = [*stage[1:], *result]
        base = stage[0].text.partition(" AS ")[0]
        stage = by_name.get(re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], base))
    return result


def locked(path: Path) -> dict[str, list[str]]:
    """The requirements of a lock, as `name==version`, with their hashes. Raises `ValueError` for anything else."""
    entries = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8")).splitlines()
    hashes_of = {}
    for requirement, *hashes in (entry.split() for entry in entries if entry.strip()):
        if not re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.+!]+", requirement):
            raise ValueError(f"{path.name}: {requirement!r} is not a pinned requirement")
        hashes_of[requirement] = [text.removeprefix("--hash=sha256:") for text in hashes]
    return hashes_of
