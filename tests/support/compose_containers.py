"""Substitutes for the containers of the compose file on this machine: a root folder and an address for each.

Ports, variables and paths are unchanged. Replaced are only values that differ inside a container: names of services on
a shared network, addresses, and the root. Users, limits and read-only roots are omitted, because they need containers.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.deployment_files import ROOT, Image, read_image

Entry = dict[str, Any]

# What the images bring, and what is mounted. Other paths (/usr/bin, /bin) are this machine's own.
_OF_THE_ROOT = r"(?<![\w.])/(?:opt|var|etc|models|tmp|usr/local)(?=[/:]|$)"
_OWN_ADDRESS = r"0\.0\.0\.0|127\.0\.0\.1"


@dataclass(frozen=True)
class Container:
    """A service of the compose file, ready to be started here."""

    name: str
    command: list[str]
    environment: dict[str, str]
    directory: str
    health: list[str]
    needs: frozenset[str]
    grace_s: float
    root: Path
    address: str

    def files(self) -> set[Path]:
        """The files of the root itself, without those of mounts."""
        return {path for path in _walk(self.root) if not path.is_dir()}


def containers(entries: Mapping[str, Entry], folder: Path, variables: Mapping[str, str]) -> Iterator[Container]:
    """The containers of these services below `folder`; `variables` are those of the environment file."""
    # Test runs beside one another do not meet: each has a network of its own.
    network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(255)}"
    addresses = {name: f"{network}.{number}" for number, name in enumerate(entries, start=1)}
    for name, entry in entries.items():
        image = read_image(ROOT / entry["build"]["dockerfile"], entry["build"]["args"])
        networks = {*entry["networks"]}
        known = {other: addresses[other] for other in entries if networks & {*entries[other]["networks"]}}
        inside = _Inside(folder / name, addresses[name], known)
        _make_root(inside, entry, image, folder / "volumes")
        yield Container(
            name=name,
            command=[inside.seen(word) for word in entry.get("command", image.command)],
            environment={key: inside.seen(value) for key, value in _environment(entry, image, variables).items()},
            directory=inside.seen(image.directory),
            health=[inside.seen(word) for word in entry["healthcheck"]["test"][1:]],
            needs=frozenset(entry.get("depends_on", ())) & entries.keys(),
            grace_s=float(entry["stop_grace_period"].removesuffix("s")),
            root=inside.root,
            address=inside.address,
        )


@dataclass(frozen=True)
class _Inside:
    """Where a container's root is, and whom it knows by name."""

    root: Path
    address: str
    known: Mapping[str, str]

    def seen(self, text: str) -> str:
        """A text of the container's as it has to be here."""
        names = "|".join(map(re.escape, self.known))
        pattern = rf"(?P<path>{_OF_THE_ROOT})|(?P<own>{_OWN_ADDRESS})|(?<=//)(?P<name>{names})(?=[:/])"
        return re.sub(pattern, self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match["path"]:
            return f"{self.root}{match['path']}"
        return self.address if match["own"] else self.known[match["name"]]

    def place(self, path: str) -> Path:
        """A path of the root whose folder exists."""
        placed = Path(f"{self.root}{path}")
        placed.parent.mkdir(parents=True, exist_ok=True)
        return placed


def _environment(entry: Entry, image: Image, variables: Mapping[str, str]) -> dict[str, str]:
    """The image's variables under the service's; one without a value is passed on from the environment file."""
    given = {
        name: variables.get(name) if value is None else value for name, value in entry.get("environment", {}).items()
    }
    return image.environment | {name: value for name, value in given.items() if value is not None}


def _make_root(inside: _Inside, entry: Entry, image: Image, volumes: Path) -> None:
    inside.place("/opt/venv").symlink_to(sys.prefix)
    for target, source in image.copied.items():
        inside.place(target).symlink_to(ROOT / source)
    for mount in entry.get("volumes", ()):
        _mount(inside, mount, volumes)
    for folder in (
        image.directory,
        image.environment.get("HOME", "/tmp"),
        *(text.split(":")[0] for text in entry["tmpfs"]),
    ):
        inside.place(folder).mkdir(exist_ok=True)


def _mount(inside: _Inside, mount: str | Mapping[str, Any], volumes: Path) -> None:
    if isinstance(mount, str):
        volume, target = mount.split(":")
        (volumes / volume).mkdir(parents=True, exist_ok=True)
        inside.place(target).symlink_to(volumes / volume)
        return
    source = ROOT / mount["source"]
    if source.is_file():
        # Files of settings hold names of services.
        inside.place(mount["target"]).write_text(inside.seen(source.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        inside.place(mount["target"]).symlink_to(source.resolve(strict=True))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink() and path.name != "tmp":
            yield from _walk(path)
