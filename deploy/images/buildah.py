"""The buildah commands that `make images` needs."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.images.commands import run, succeeds


@dataclass(frozen=True)
class ImageConfig:
    """The container configuration of an image."""

    command: list[str]
    environment: dict[str, str]
    directory: str
    user: str
    health: list[str]


def exists(image: str) -> bool:
    """Whether an image is in the local storage."""
    return succeeds("buildah", "inspect", "--type", "image", image)


def pull(image: str) -> bool:
    """Pull an image from its registry; whether that succeeded."""
    return succeeds("buildah", "pull", image)


def build(dockerfile: str, tag: str, arguments: Sequence[tuple[str, str]], flags: Sequence[str]) -> None:
    """Build a Dockerfile below `deploy/`, with its output on standard error. Raises `CommandFailed`.

    Its containers and the images of its stages are removed afterwards in any case.
    """
    given = [word for name, value in arguments for word in ("--build-arg", f"{name}={value}")]
    # Docker's format: OCI's has no health check.
    options = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--no-cache", "--force-rm"]
    before = _unnamed()
    try:
        run("buildah", "bud", *options, *given, *flags, "--file", f"deploy/{dockerfile}", "--tag", tag, ".", echo=True)
    finally:
        # The images of the stages, except those in use.
        for image in _unnamed() - before:
            succeeds("buildah", "rmi", image)


def import_root(archive: Path, tag: str) -> None:
    """Create an image from the archive of a root file system. Raises `CommandFailed`."""
    with container("scratch") as name:
        run("buildah", "add", "--quiet", name, str(archive), "/")
        run("buildah", "commit", "--quiet", "--format", "docker", name, tag)


@contextlib.contextmanager
def container(image: str) -> Iterator[str]:
    """The name of a new container of a local image; it is removed afterwards. Raises `CommandFailed`."""
    # A name of our own is known even if the command is interrupted.
    name = f"alpha-umi-{secrets.token_hex(4)}"
    try:
        run("buildah", "from", "--pull-never", "--name", name, image)
        yield name
    finally:
        if succeeds("buildah", "inspect", "--type", "container", name):
            run("buildah", "rm", name)


def mount(container: str) -> Path:
    """The mounted root of a container, within the block. Raises `CommandFailed`."""
    return Path(run("buildah", "mount", container))


def size_mb(image: str) -> int:
    """The size of an image, all layers, in MB."""
    [listed, *_] = json.loads(run("buildah", "images", "--json", image))
    return round(_bytes(listed["size"]) / 1e6)


def config(image: str) -> ImageConfig:
    """The container configuration of an image."""
    config: dict[str, Any] = json.loads(run("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
    health = config.get("Healthcheck", {}).get("Test", [])
    return ImageConfig(
        command=config["Cmd"],
        environment=dict(entry.split("=", 1) for entry in config["Env"]),
        directory=config["WorkingDir"] or "/",
        user=config["User"],
        health=["sh", "-c", health[1]] if health[:1] == ["CMD-SHELL"] else health[1:],
    )


def _bytes(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()]


def _unnamed() -> set[str]:
    return {*run("buildah", "images", "--quiet", "--no-trunc", "--filter", "dangling=true").split()}
