"""This machine's pip settings for the pip in a build: index, certificates, folders of packages."""

from __future__ import annotations

import ast
import configparser
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.images.commands import run

# Other options concern this machine's environments, such as `require-virtualenv`.
OPTIONS = (
    *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host"),
    *("cert", "client-cert", "proxy", "timeout", "default-timeout", "retries"),
)


@contextmanager
def pip_volumes() -> Iterator[list[str]]:
    """The flags of `buildah bud` that pass these settings to a build, without storing them in the image."""
    settings = read_settings(run(sys.executable, "-m", "pip", "config", "list"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pip.conf")
        _write(settings, file)
        volumes = {str(file): "/etc/pip.conf"} | {path: path for path in paths(settings)} if settings else {}
        yield [word for source, target in volumes.items() for word in ("--volume", f"{source}:{target}:ro")]


def read_settings(listed: str) -> dict[str, str]:
    """The settings in the output of `pip config list`; variables override files."""
    entries = (line.partition("=") for line in listed.splitlines())
    named = {name: ast.literal_eval(value) for name, _, value in entries}
    sections = ("global", "install", ":env:")
    configured = {option: [named.get(f"{section}.{option}") for section in sections] for option in OPTIONS}
    return {
        option: values[-1] for option, given in configured.items() if (values := [value for value in given if value])
    }


def paths(settings: Mapping[str, str]) -> list[str]:
    """The local files and folders in the settings."""
    words = [word for value in settings.values() for word in value.split()]
    # The pages of a local index link to packages beside it.
    folders = [str(Path(word.removeprefix("file://")).parent) for word in words if word.startswith("file:///")]
    named = [word for word in words if word.startswith("/")]
    return [path for path in dict.fromkeys([*folders, *named]) if path != "/" and Path(path).exists()]


def _write(settings: Mapping[str, str], file: Path) -> None:
    content = configparser.RawConfigParser()
    content["global"] = settings
    with file.open("w", encoding="utf-8") as opened:
        content.write(opened)
